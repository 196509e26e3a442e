#include "compression/quantizer.h"

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"

namespace encke {
namespace {

constexpr int64_t kBlock = 64;
constexpr float kLeastBound = 0x1p-120f;     // below, 1 / step would overflow or lose precision
constexpr float kGreatestBound = 0x1p+120f;  // above, step would overflow
constexpr double kShrink = 1.0 - 0x1p-12;
constexpr double kGreatestCenter = 0x1p+22;  // center + code stays exact in a float

float UsableBound(float bound) {
  ENCKE_CHECK(std::isfinite(bound) && bound >= 0, bound);
  return bound < kLeastBound ? 0.0f : std::min(bound, kGreatestBound);
}

int32_t CenterCode(float center, float step) {
  const double code = step > 0 ? std::nearbyint(static_cast<double>(center) / step) : 0;
  return std::isfinite(code) && std::abs(code) <= kGreatestCenter ? static_cast<int32_t>(code) : 0;
}

template <typename T>
void Repeat(std::vector<T>& table) {
  const size_t period = table.size();
  table.resize(period + kBlock);
  for (size_t i = period; i < table.size(); ++i) table[i] = table[i - period];
}

}  // namespace

Quantizer::Quantizer(const CodecOptions& options, int64_t channels) : mask_(options.mask) {
  const std::vector<float>& per_channel = options.bound.channel;
  const std::vector<float>& centers = options.channel_center;
  const int64_t given_bounds = per_channel.size(), given_centers = centers.size();
  ENCKE_CHECK(given_bounds == 0 || given_bounds == channels, given_bounds, " bounds for ",
              channels);
  ENCKE_CHECK(given_centers == 0 || (given_centers == channels && !mask_), given_centers,
              " centers for ", channels);
  period_ = given_bounds + given_centers > 0 ? channels : 1;
  for (int64_t c = 0; c < period_; ++c) {
    const float bound = UsableBound(given_bounds == 0 ? options.bound.uniform : per_channel[c]);
    const float step = static_cast<float>(2.0 * kShrink * bound);
    bound_.push_back(bound);
    step_.push_back(step);
    inverse_step_.push_back(bound > 0 ? static_cast<float>(1.0 / step) : 0.0f);
    center_.push_back(given_centers == 0 ? 0 : CenterCode(centers[c], step));
    lossless_ = lossless_ && bound == 0;
  }
  Repeat(bound_);
  Repeat(step_);
  Repeat(inverse_step_);
  Repeat(center_);
}

QuantizerTables Quantizer::tables() const {
  return {bound_.data(), step_.data(), inverse_step_.data(), center_.data(), period_};
}

int64_t Quantizer::bytes() const {
  return static_cast<int64_t>(sizeof(*this) + bound_.size() * 4 * sizeof(float));
}

}  // namespace encke
