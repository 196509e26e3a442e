#include "engine/train/timetable.h"

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"

namespace encke {

Timetable::Timetable(const config::Training& training, int64_t batches, int64_t samples)
    : batches_(batches),
      samples_(samples),
      batch_(training.batch()),
      accumulate_(std::max(1, training.accumulate())),
      evaluate_every_(training.evaluate_every()),
      checkpoint_every_(training.checkpoint_every()) {
  // A last group of fewer batches counts where a last batch of fewer samples does.
  per_epoch_ =
      training.drop_last() ? batches / accumulate_ : (batches + accumulate_ - 1) / accumulate_;
  if (per_epoch_ == 0)
    throw Error(ErrorKind::CONFIG,
                StrCat("the data set has ", samples, " images, too few for one iteration of ",
                       accumulate_, " x ", batch_),
                "", "lower training.batch or training.accumulate, or set drop_last: false");
  iterations_ =
      training.iterations() > 0
          ? training.iterations()
          : std::max<int64_t>(1, std::llround(training.epochs() * static_cast<double>(per_epoch_)));
}

double Timetable::EpochsAfter(int64_t iteration) const {
  return static_cast<double>(iteration) / static_cast<double>(per_epoch_);
}

int64_t Timetable::FirstBatchOf(int64_t iteration) const {
  return (iteration - 1) % per_epoch_ * accumulate_;
}

UpdatePlan Timetable::PlanOf(int64_t iteration) const {
  const int64_t first = FirstBatchOf(iteration);
  UpdatePlan plan;
  plan.iteration = iteration;
  plan.first_pass = (iteration - 1) * accumulate_ + 1;
  plan.batches = std::min(accumulate_, batches_ - first);
  plan.samples = std::min(plan.batches * batch_, samples_ - first * batch_);
  return plan;
}

// The k-th time is after round(k * every) epochs' worth of iterations.
bool Timetable::DueAfter(double every_epochs, int64_t iteration) const {
  if (every_epochs <= 0) return false;
  const double every = every_epochs * static_cast<double>(per_epoch_);
  const double times = std::round(static_cast<double>(iteration) / every);
  return times >= 1 && std::llround(times * every) == iteration;
}

bool Timetable::EvaluationDueAfter(int64_t iteration) const {
  return IsLast(iteration) || DueAfter(evaluate_every_, iteration);
}

bool Timetable::CheckpointDueAfter(int64_t iteration) const {
  return DueAfter(static_cast<double>(checkpoint_every_), iteration);
}

}  // namespace encke
