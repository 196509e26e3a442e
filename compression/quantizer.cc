#include "compression/quantizer.h"

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"

namespace encke {
namespace {

constexpr int64_t kBlock = 64;
constexpr int64_t kLine = 64;  // bytes of a cache line: vectors that do not cross one load faster
constexpr int64_t kTables = 4, kActivityTables = 9;
constexpr float kLeastBound = 0x1p-120f;     // below, 1 / step would overflow or lose precision
constexpr float kGreatestBound = 0x1p+120f;  // above, step would overflow
// For the reconstruction's rounding, of a cell: to a float, and to bfloat16, where half an ulp is
// up to 2^-8 of the element. Measured to store least (doc/decisions.md).
constexpr double kRoomFloat = 0x1p-12, kRoomBfloat16 = 0x1p-5;
constexpr double kGreatestCenter = 0x1p+22;  // center + code stays exact in a float

float UsableBound(float bound) {
  ENCKE_CHECK(std::isfinite(bound) && bound >= 0, bound);
  return bound < kLeastBound ? 0.0f : std::min(bound, kGreatestBound);
}

float Inverse(float step) { return step > 0 ? static_cast<float>(1.0 / step) : 0.0f; }

int32_t CenterCode(float center, float step) {
  const double code = step > 0 ? std::nearbyint(static_cast<double>(center) / step) : 0;
  return std::isfinite(code) && std::abs(code) <= kGreatestCenter ? static_cast<int32_t>(code) : 0;
}

void CheckActivity(const Activity& activity, int64_t channels) {
  const auto count = static_cast<size_t>(channels);
  ENCKE_CHECK(activity.threshold.size() == count && activity.sign.size() == count &&
                  activity.inactive_bound.size() == count &&
                  (activity.centroid.empty() || activity.centroid.size() == count * kCentroids),
              "activity of ", activity.threshold.size(), " channels for ", channels);
  for (const float t : activity.threshold) ENCKE_CHECK(std::isfinite(t), t);
  for (const int8_t sign : activity.sign) ENCKE_CHECK(sign >= -1 && sign <= 1, int{sign});
}

}  // namespace

double CellShare(DType dtype) { return 1.0 - (dtype == DType::BF16 ? kRoomBfloat16 : kRoomFloat); }

QuantizerMode ModeOf(const CodecOptions& options) {
  if (!options.activity.empty()) return QuantizerMode::ACTIVITY;
  return options.mask ? QuantizerMode::MASK : QuantizerMode::SIGNED;
}

ExpandedQuantizer::ExpandedQuantizer(int64_t period, int64_t tables)
    : stride_((4 * (period + kBlock) + kLine - 1) / kLine * kLine),
      memory_(new unsigned char[tables * stride_ + kLine]) {
  next_ = memory_.get() + (kLine - reinterpret_cast<uintptr_t>(memory_.get()) % kLine);
  tables_.period = period;
}

template <typename T, typename Of>
const T* ExpandedQuantizer::Add(const Of& of) {
  static_assert(sizeof(T) == 4);
  const int64_t period = tables_.period;
  T* table = reinterpret_cast<T*>(next_);
  next_ += stride_;
  for (int64_t c = 0; c < period; ++c) table[c] = of(c);
  for (int64_t i = period; i < period + kBlock; ++i) table[i] = table[i - period];
  return table;
}

Quantizer::Quantizer(const CodecOptions& options, DType dtype, int64_t channels)
    : mode_(ModeOf(options)), cell_share_(CellShare(dtype)), activity_(options.activity) {
  const std::vector<float>& per_channel = options.bound.channel;
  const std::vector<float>& centers = options.channel_center;
  const int64_t given_bounds = per_channel.size(), given_centers = centers.size();
  ENCKE_CHECK(given_bounds == 0 || given_bounds == channels, given_bounds, " bounds for ",
              channels);
  ENCKE_CHECK(given_centers == 0 || (given_centers == channels && mode_ == QuantizerMode::SIGNED),
              given_centers, " centers for ", channels);
  ENCKE_CHECK(activity_.empty() || !options.mask, "activity and mask together");
  if (!activity_.empty()) CheckActivity(activity_, channels);
  const bool by_channel = given_bounds + given_centers > 0 || !activity_.empty();
  period_ = by_channel ? channels : 1;
  for (int64_t c = 0; c < std::max<int64_t>(given_bounds, 1); ++c) {
    bound_.push_back(UsableBound(given_bounds == 0 ? options.bound.uniform : per_channel[c]));
    lossless_ = lossless_ && bound_[c] == 0;
  }
  for (float& bound : activity_.inactive_bound) {
    bound = UsableBound(bound);
    lossless_ = lossless_ && bound == 0;
  }
  for (int64_t c = 0; c < given_centers; ++c) {
    center_.push_back(CenterCode(centers[c], StepOf(BoundOf(c))));
  }
}

std::vector<float> Quantizer::Centers() const {
  std::vector<float> centers(center_.size());
  for (size_t c = 0; c < centers.size(); ++c) {
    centers[c] = static_cast<float>(center_[c]) * StepOf(BoundOf(static_cast<int64_t>(c)));
  }
  return centers;
}

float Quantizer::StepOf(float bound) const { return static_cast<float>(2.0 * cell_share_ * bound); }

// A channel without sides has one bound.
float Quantizer::BoundOf(int64_t channel) const {
  if (!activity_.empty() && activity_.sign[channel] == 0) return activity_.inactive_bound[channel];
  return bound_.size() == 1 ? bound_[0] : bound_[channel];
}

float Quantizer::WidthOf(int64_t channel) const {
  const float bound = activity_.inactive_bound[channel];
  return activity_.sign[channel] == 0 ? StepOf(bound) : static_cast<float>(cell_share_ * bound);
}

// QuantizerTables::centroids.
int32_t Quantizer::CentroidsOf(int64_t channel) const {
  if (activity_.sign[channel] == 0 || activity_.centroid.empty()) return 0;
  uint32_t packed = 0;
  for (int cell = 0; cell < kCentroids; ++cell) {
    const auto offset = static_cast<uint8_t>(activity_.centroid[channel * kCentroids + cell]);
    packed |= static_cast<uint32_t>(offset) << 8 * cell;
  }
  return static_cast<int32_t>(packed);
}

ExpandedQuantizer Quantizer::Expand() const {
  const bool sides = mode_ == QuantizerMode::ACTIVITY;
  ExpandedQuantizer expanded(period_, sides ? kActivityTables : kTables);
  QuantizerTables& tables = expanded.tables_;
  const float* bound = tables.bound = expanded.Add<float>([&](int64_t c) { return BoundOf(c); });
  const float* step = tables.step =
      expanded.Add<float>([&](int64_t c) { return StepOf(bound[c]); });
  tables.inverse_step = expanded.Add<float>([=](int64_t c) { return Inverse(step[c]); });
  if (sides) {
    ExpandActivity(&expanded);
  } else {
    tables.center =
        expanded.Add<int32_t>([&](int64_t c) { return center_.empty() ? 0 : center_[c]; });
  }
  return expanded;
}

void Quantizer::ExpandActivity(ExpandedQuantizer* expanded) const {
  QuantizerTables& tables = expanded->tables_;
  const auto add = [&](const auto& of) { return expanded->Add<float>(of); };
  tables.threshold = add([&](int64_t c) { return activity_.threshold[c]; });
  tables.direction = add([&](int64_t c) { return activity_.sign[c] < 0 ? -1.0f : 1.0f; });
  tables.inactive_bound = add([&](int64_t c) { return activity_.inactive_bound[c]; });
  const float* width = tables.width = add([&](int64_t c) { return WidthOf(c); });
  tables.inverse_width = add([=](int64_t c) { return Inverse(width[c]); });
  tables.centroids = expanded->Add<int32_t>([&](int64_t c) { return CentroidsOf(c); });
}

int64_t Quantizer::bytes() const {
  const int64_t floats = static_cast<int64_t>(bound_.size() + activity_.threshold.size() +
                                              activity_.inactive_bound.size());
  const int64_t bytes = static_cast<int64_t>(activity_.sign.size() + activity_.centroid.size());
  return static_cast<int64_t>(sizeof(*this)) + 4 * (floats + static_cast<int64_t>(center_.size())) +
         bytes;
}

}  // namespace encke
