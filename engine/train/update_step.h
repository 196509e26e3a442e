// One iteration of training: forward and backward over the batches of an update, then the update.
#pragma once

#include <cstdint>

#include "data/loader.h"
#include "engine/graph/executor.h"
#include "engine/train/ema.h"
#include "engine/train/optimizer.h"

namespace encke {

struct UpdatePlan {
  int64_t iteration = 1;
  int64_t first_pass = 1;  // number of the first batch's pass through the executor
  int64_t batches = 1;     // to take from the loader; their gradients are summed
  int64_t samples = 0;     // in all of them: what the loss is averaged over
  double learning_rate = 0;
  Audit audit = Audit::NONE;
};

struct UpdateOutcome {
  StepResult sum;        // over the batches that were finite
  bool updated = false;  // false: something was not finite, the parameters stayed as they were
};

// Meets loss or gradients that are not finite: tightens the bounds and repeats the iteration with
// exact storage where values were compressed, else leaves the update out. All must outlive it.
class UpdateStep {
 public:
  // `average` may be null.
  UpdateStep(Executor& executor, Optimizer& optimizer, WeightAverage* average)
      : executor_(executor), optimizer_(optimizer), average_(average) {}

  // Error(NUMERIC) when it fails a second time in a row: names the layer where it started.
  UpdateOutcome Run(Loader& loader, const UpdatePlan& plan);

 private:
  // Forward and backward of one batch, the `index`-th of the update.
  StepResult TrainBatch(const Batch& batch, const UpdatePlan& plan, int64_t index);
  // Under a memory limit, with a new plan where saved values take more than was foreseen.
  StepResult TrainWithinLimit(const Batch& batch, const UpdatePlan& plan, int64_t index,
                              TrainOptions options);
  bool PlanForMore();
  StepResult RepeatExactly(const Batch& batch, const UpdatePlan& plan, TrainOptions options);
  [[noreturn]] void Fail(const Batch& batch, const UpdatePlan& plan, int64_t index);
  void Update(double learning_rate);

  Executor& executor_;
  Optimizer& optimizer_;
  WeightAverage* average_;
  bool failed_before_ = false;  // in the last iteration
};

}  // namespace encke
