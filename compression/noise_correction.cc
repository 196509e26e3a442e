#include "compression/noise_correction.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace encke {
namespace {

constexpr int64_t kMostRemembered = 32;
constexpr double kMostQuotient = 4096.0;
constexpr double kLeastFactor = 1.0 / 8;

}  // namespace

void NoiseCorrection::Observe(double measured_variance, double formula_variance, int64_t round) {
  if (!std::isfinite(measured_variance) || measured_variance < 0) return;
  if (!std::isfinite(formula_variance) || formula_variance <= 0) return;
  quotients_.push_back(std::min(measured_variance / formula_variance, kMostQuotient));
  const size_t most = static_cast<size_t>(std::clamp<int64_t>(round, 1, kMostRemembered));
  complete_ = complete_ || quotients_.size() >= most;
  if (quotients_.size() > most) quotients_.erase(quotients_.begin(), quotients_.end() - most);
}

double NoiseCorrection::factor() const {
  const double prior = complete_ ? 0.0 : 1.0;
  const double sum = std::accumulate(quotients_.begin(), quotients_.end(), prior);
  const double mean = sum / (static_cast<double>(quotients_.size()) + prior);
  return std::max(std::sqrt(mean), kLeastFactor);
}

void NoiseCorrection::Restore(std::vector<double> quotients, bool complete) {
  quotients_ = std::move(quotients);
  complete_ = complete && !quotients_.empty();
}

}  // namespace encke
