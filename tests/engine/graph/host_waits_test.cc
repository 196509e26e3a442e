// How often an iteration has the host wait for the device.
#include <gtest/gtest.h>

#include <algorithm>

#include "engine/backend/cpu/cpu_backend.h"
#include "tests/engine/graph/test_networks.h"
#include "tests/engine/graph/trainee.h"

namespace encke {
namespace {

struct Waits {
  int for_stream = 0;  // everything that was issued before
  int for_copies = 0;  // that were begun earlier
};

class CountedCopy : public HostCopy {
 public:
  CountedCopy(std::unique_ptr<HostCopy> copy, Waits* waits)
      : copy_(std::move(copy)), waits_(waits) {}
  const void* Wait() override {
    ++waits_->for_copies;
    return copy_->Wait();
  }

 private:
  std::unique_ptr<HostCopy> copy_;
  Waits* waits_;
};

// Counts what would wait, were it a GPU's.
class CountingBackend : public cpu::CpuBackend {
 public:
  explicit CountingBackend(Waits* waits) : waits_(waits) {}
  void CopyToHost(const Tensor& src, void* dst) override {
    ++waits_->for_stream;
    CpuBackend::CopyToHost(src, dst);
  }
  double SumOfSquares(const Tensor& x) override {
    ++waits_->for_stream;
    return CpuBackend::SumOfSquares(x);
  }
  double SumOfMagnitudes(const Tensor& x) override {
    ++waits_->for_stream;
    return CpuBackend::SumOfMagnitudes(x);
  }
  bool AllFinite(const std::vector<Tensor>& tensors) override {
    ++waits_->for_stream;
    return CpuBackend::AllFinite(tensors);
  }
  std::unique_ptr<HostCopy> StartCopyToHost(const std::vector<Tensor>& tensors) override {
    return std::make_unique<CountedCopy>(CpuBackend::StartCopyToHost(tensors), waits_);
  }

 private:
  Waits* waits_;
};

int64_t BatchNorms(const Graph& graph) {
  return std::count_if(graph.nodes.begin(), graph.nodes.end(),
                       [](const Node& node) { return node.layer->Gathers(); });
}

// In which the loss is computed, and looked at.
int64_t LossSlices(const Plan& plan) {
  for (const PlanSection& section : plan.sections) {
    if (plan.backward_begin <= section.end) return (plan.batch - 1) / section.samples + 1;
  }
  return 0;
}

TEST(HostWaitsTest, BoundsOfBatchNormsWaitForTheirStatisticsOnce) {
  for (const auto& network : {ResidualNetwork, BottleneckNetwork, PreActivationNetwork}) {
    for (int64_t slice : {0, 1}) {
      SCOPED_TRACE(slice);
      Waits waits;
      PlanOptions options = InSlices(slice);
      options.probe = false;
      Trainee trainee(network(), options, 0.05, 6, std::make_unique<CountingBackend>(&waits));
      trainee.Gradients({}, 1);
      waits = {};
      trainee.executor().Train(trainee.batch(), 3);  // nothing is new, and statistics are not due
      const Plan& plan = trainee.executor().plan();
      EXPECT_EQ(waits.for_stream, 1) << "whether gradients are finite";
      const auto ends = static_cast<int64_t>(plan.block_ends.size());
      // The scores' copies are looked at twice, the second time long after they have arrived.
      const int64_t for_bounds = waits.for_copies - 2 * LossSlices(plan);
      EXPECT_GT(for_bounds, 0);
      EXPECT_LE(for_bounds, BatchNorms(trainee.executor().graph()) + ends);
    }
  }
}

// What probes and refreshes measure is looked at when backward has been issued.
TEST(HostWaitsTest, ProbesWaitForNothingInTheMidst) {
  for (int64_t slice : {0, 1}) {
    SCOPED_TRACE(slice);
    Waits waits;
    Trainee trainee(BottleneckNetwork(), InSlices(slice), 0.05, 6,
                    std::make_unique<CountingBackend>(&waits));
    ASSERT_FALSE(trainee.executor().plan().probes.empty());
    trainee.Gradients({}, 1);
    for (int64_t iteration = 3; iteration < 8; ++iteration) {  // of which 4 is a refresh
      if (iteration == 4) continue;
      waits = {};
      trainee.executor().Train(trainee.batch(), iteration);
      EXPECT_EQ(waits.for_stream, 1) << "whether gradients are finite";
    }
  }
}

}  // namespace
}  // namespace encke
