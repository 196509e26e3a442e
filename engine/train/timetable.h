// When things happen in training: which batches an iteration takes, where epochs end, what is due.
// All of it follows from the iteration's number, so that resuming needs nothing else.
#pragma once

#include <cstdint>

#include "engine/train/update_step.h"
#include "models/encke.pb.h"

namespace encke {

class Timetable {
 public:
  // `batches` and `samples` are the loader's, of an epoch. Error(CONFIG) when an epoch is too small
  // for a single iteration.
  Timetable(const config::Training& training, int64_t batches, int64_t samples);

  int64_t iterations() const { return iterations_; }  // in all, at least one
  int64_t iterations_per_epoch() const { return per_epoch_; }
  double epochs() const { return EpochsAfter(iterations_); }
  // Epochs done after so many iterations, fraction included.
  double EpochsAfter(int64_t iteration) const;

  // Of iteration 1, 2, ...: its epoch (0, 1, ...) and the first of its batches in that epoch.
  int64_t EpochOf(int64_t iteration) const { return (iteration - 1) / per_epoch_; }
  int64_t FirstBatchOf(int64_t iteration) const;
  // Fills in iteration, passes, batches and samples.
  UpdatePlan PlanOf(int64_t iteration) const;

  bool EvaluationDueAfter(int64_t iteration) const;
  // Whether a numbered checkpoint is due.
  bool CheckpointDueAfter(int64_t iteration) const;
  bool IsLast(int64_t iteration) const { return iteration >= iterations_; }

 private:
  bool DueAfter(double every_epochs, int64_t iteration) const;

  int64_t batches_, samples_, batch_, accumulate_;
  double evaluate_every_;
  int64_t checkpoint_every_;
  int64_t per_epoch_ = 0, iterations_ = 0;
};

}  // namespace encke
