#include "compression/noise_correction.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace encke {
namespace {

constexpr int64_t kMostRemembered = 32;
constexpr double kMostQuotient = 4096.0;
constexpr double kLeastFactor = 1.0 / 8;

bool Usable(double quotient) { return std::isfinite(quotient) && quotient >= 0; }

bool Finite(const NoiseSample& s) {
  return Usable(s.white) && std::isfinite(s.errors.repeated) && std::isfinite(s.errors.others) &&
         std::isfinite(s.errors.both);
}

double FactorOf(double quotient) { return std::max(std::sqrt(quotient), kLeastFactor); }

}  // namespace

void NoiseCorrection::Observe(const NoiseSample& sample, int64_t round) {
  if (!Usable(sample.quotient)) return;
  NoiseSample seen = sample;
  seen.quotient = std::min(sample.quotient, kMostQuotient);
  seen.white = std::min(sample.white, kMostQuotient);
  if (!Finite(seen)) seen = {seen.quotient, seen.quotient, {}};
  samples_.push_back(seen);
  const size_t most = static_cast<size_t>(std::clamp<int64_t>(round, 1, kMostRemembered));
  complete_ = complete_ || samples_.size() >= most;
  if (samples_.size() > most) samples_.erase(samples_.begin(), samples_.end() - most);
}

double NoiseCorrection::factor() const {
  const double prior = complete_ ? 0.0 : 1.0;
  double sum = prior;
  for (const NoiseSample& s : samples_) sum += s.quotient;
  return FactorOf(sum / (static_cast<double>(samples_.size()) + prior));
}

double NoiseCorrection::FactorFor(const PatternProducts& gradients) const {
  const double prior = complete_ ? 0.0 : 1.0;
  double sum = prior;
  for (const NoiseSample& s : samples_) {
    sum += s.white + s.errors.repeated * gradients.repeated + s.errors.others * gradients.others +
           2 * s.errors.both * gradients.both;
  }
  const double quotient = sum / (static_cast<double>(samples_.size()) + prior);
  return Usable(quotient) ? FactorOf(quotient) : factor();
}

void NoiseCorrection::Restore(std::vector<NoiseSample> samples, bool complete) {
  samples_ = std::move(samples);
  complete_ = complete && !samples_.empty();
}

}  // namespace encke
