// A small network with its parameters, a batch that it can train on, and what to compare gradients
// with.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "engine/graph/executor.h"

namespace encke {

// Random bytes and labels, always the same for a seed.
Batch MakeBatch(Allocator& allocator, const Shape& sample, int64_t count, int classes,
                uint64_t seed = 3);

// Of a plan in slices of so many samples; 0: of the whole batch.
PlanOptions InSlices(int64_t samples);

// The elements of the parameter of this name. REQUIRES: there is one.
float* ParameterNamed(Executor& executor, const std::string& name);

// All elements of the tensors that are defined, one after the other.
std::vector<float> Flatten(const std::vector<Tensor>& tensors);

// The same of tensors on the backend's device.
std::vector<float> Download(Backend& backend, const std::vector<Tensor>& tensors);

// ||a - b|| / ||b||
double RelativeDifference(const std::vector<float>& a, const std::vector<float>& b);

// Of an audit: the noise measured is the one predicted, within a factor of two.
void ExpectNoiseAsPredicted(const ActivationRecord& audit);

class Trainee {
 public:
  Trainee(Graph graph, bool compress, double tolerance = 0.05, int64_t batch = 6,
          double assumed_ratio = 11)
      : Trainee(std::move(graph), Plan(compress, assumed_ratio), tolerance, batch) {}

  Trainee(Graph graph, const PlanOptions& plan, double tolerance = 0.05, int64_t batch = 6,
          std::unique_ptr<Backend> backend = NewBackend({}))
      : backend_(std::move(backend)) {
    ExecutorOptions options;
    options.plan = plan;
    options.plan.batches_held = 1;
    options.controller.tolerance = tolerance;
    options.controller.warmup = 0;
    options.mean = {0.5f};
    options.std = {0.25f};
    executor_ = std::make_unique<Executor>(std::move(graph), *backend_, options);
    executor_->InitializeParameters();
    executor_->Prepare(batch);
    batch_ = MakeBatch(backend_->host_allocator(), executor_->graph().values[0].shape, batch, 5);
  }

  Executor& executor() { return *executor_; }
  const Batch& batch() const { return batch_; }
  // The batch's first samples.
  Batch Part(int64_t samples) const {
    return {batch_.images.Slice(0, samples), batch_.labels.Slice(0, samples)};
  }
  MemoryLedger& ledger() { return backend_->allocator().ledger(); }
  std::vector<float> Gradients(const TrainOptions& options = {}, int64_t iteration = 1) {
    EXPECT_TRUE(executor_->Train(batch_, iteration, options).finite);
    return Download(*backend_, executor_->gradients());
  }

 private:
  static PlanOptions Plan(bool compress, double assumed_ratio) {
    PlanOptions options;
    options.compress = compress;
    options.assumed_ratio = assumed_ratio;
    return options;
  }

  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Executor> executor_;
  Batch batch_;
};

}  // namespace encke
