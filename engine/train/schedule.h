// The learning rate over training, as a pure function of the progress: nothing to step, nothing to
// save.
#pragma once

#include <vector>

#include "models/encke.pb.h"

namespace encke {

struct ScheduleOptions {
  config::Schedule::Kind kind = config::Schedule::CONSTANT;
  double base = 0.1;  // the optimizer's learning rate; for ONE_CYCLE the peak
  // All times in epochs, fractions allowed.
  double step = 1;
  std::vector<double> milestones;
  double gamma = 0.1;            // STEP, MULTISTEP
  double power = 1;              // POLY
  double final_fraction = 0;     // POLY, COSINE, ONE_CYCLE: the last learning rate over `base`
  double warmup = 0;             // length of the linear rise; not with ONE_CYCLE, which has its own
  double warmup_fraction = 0.1;  // where the rise starts, over `base`; ONE_CYCLE starts there too
  double peak_at = 0.3;          // ONE_CYCLE: fraction of training
};

// The learning rate after `epoch` of `epochs` epochs; beyond the end it stays what it was there.
//
// STEP and MULTISTEP count epochs from the start of training, POLY and COSINE fall from the end of
// the warm-up to the end of training:
//   POLY    f + (1 - f) * (1 - t)^power          t = progress behind the warm-up, f =
//   final_fraction COSINE  f + (1 - f) * (1 + cos(pi t)) / 2    (Loshchilov & Hutter, ICLR 2017,
//   equation 5) ONE_CYCLE  cosine from warmup_fraction up to 1 at peak_at, cosine down to f (Smith
//   & Topin 2018,
//              in the two-phase form of PyTorch's OneCycleLR)
double LearningRate(const ScheduleOptions& options, double epoch, double epochs);

// `base` comes from `optimizer`. REQUIRES: the config was checked (BuildNetwork).
ScheduleOptions MakeScheduleOptions(const config::Schedule& schedule,
                                    const config::Optimizer& optimizer);

}  // namespace encke
