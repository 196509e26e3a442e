#include "engine/train/schedule.h"

#include <algorithm>
#include <cmath>

namespace encke {
namespace {

constexpr double kPi = 3.14159265358979323846;

// From `a` at t = 0 to `b` at t = 1 along half a cosine.
double CosineBetween(double a, double b, double t) {
  return b + (a - b) * (1 + std::cos(kPi * t)) / 2;
}

double Fraction(double part, double whole) {
  return whole > 0 ? std::clamp(part / whole, 0.0, 1.0) : 1.0;
}

double OneCycle(const ScheduleOptions& options, double t) {
  if (t < options.peak_at)
    return CosineBetween(options.warmup_fraction, 1, Fraction(t, options.peak_at));
  return CosineBetween(1, options.final_fraction,
                       Fraction(t - options.peak_at, 1 - options.peak_at));
}

// Learning rate over base, warm-up left out.
double Shape(const ScheduleOptions& options, double epoch, double epochs) {
  const double floor = options.final_fraction;
  const double t = Fraction(epoch - options.warmup, epochs - options.warmup);
  switch (options.kind) {
    case config::Schedule::CONSTANT:
      return 1;
    case config::Schedule::STEP:
      return std::pow(options.gamma, std::floor(epoch / options.step));
    case config::Schedule::MULTISTEP:
      return std::pow(options.gamma,
                      std::count_if(options.milestones.begin(), options.milestones.end(),
                                    [&](double milestone) { return epoch >= milestone; }));
    case config::Schedule::POLY:
      return floor + (1 - floor) * std::pow(1 - t, options.power);
    case config::Schedule::COSINE:
      return CosineBetween(1, floor, t);
    case config::Schedule::ONE_CYCLE:
      return OneCycle(options, Fraction(epoch, epochs));
  }
  return 1;
}

double Warmup(const ScheduleOptions& options, double epoch) {
  if (epoch >= options.warmup) return 1;
  return options.warmup_fraction + (1 - options.warmup_fraction) * epoch / options.warmup;
}

}  // namespace

double LearningRate(const ScheduleOptions& options, double epoch, double epochs) {
  const double at = std::clamp(epoch, 0.0, epochs);
  return options.base * Warmup(options, at) * Shape(options, at, epochs);
}

ScheduleOptions MakeScheduleOptions(const config::Schedule& schedule,
                                    const config::Optimizer& optimizer) {
  ScheduleOptions options;
  options.kind = schedule.kind();
  options.base = optimizer.learning_rate();
  options.step = schedule.step();
  options.milestones.assign(schedule.milestone().begin(), schedule.milestone().end());
  options.gamma = schedule.gamma();
  options.power = schedule.power();
  options.final_fraction = schedule.final_fraction();
  options.warmup = schedule.warmup();
  options.warmup_fraction = schedule.warmup_fraction();
  options.peak_at = schedule.peak_at();
  return options;
}

}  // namespace encke
