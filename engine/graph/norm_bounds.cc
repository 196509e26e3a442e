#include "engine/graph/norm_bounds.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace encke {
namespace {

bool Finite(const NormChannel& c) {
  return std::isfinite(c.mean) && std::isfinite(c.inv_std) && std::isfinite(c.scale) &&
         std::isfinite(c.shift) && c.inv_std > 0;
}

// Floats in order, as integers: -0.0 and 0.0 are neighbours.
int64_t Rank(float x) {
  int32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  return bits >= 0 ? bits : int64_t{INT32_MIN} - bits - 1;
}

float FloatOfRank(int64_t rank) {
  const auto bits = static_cast<int32_t>(rank >= 0 ? rank : int64_t{INT32_MIN} - rank - 1);
  float x;
  std::memcpy(&x, &bits, sizeof(x));
  return x;
}

bool Passes(const NormChannel& c, float x) { return (x - c.mean) * c.scale + c.shift > 0.0f; }

float UsableBound(double bound) {
  return std::isfinite(bound) && bound < std::numeric_limits<float>::max()
             ? static_cast<float>(bound)
             : 0.0f;
}

}  // namespace

std::vector<float> ChannelBounds(const std::vector<NormChannel>& channels, double fraction,
                                 double most) {
  std::vector<float> bounds;
  for (const NormChannel& c : channels) {
    bounds.push_back(UsableBound(std::min(fraction / c.inv_std, most)));
  }
  return bounds;
}

// y is a monotone function of x, rounding included, so that among all floats bisection finds where
// its sign changes. It is near where exact arithmetic has it: from there the search goes in
// doubling steps to the other side first.
float ReluThreshold(const NormChannel& channel) {
  constexpr float kMost = std::numeric_limits<float>::max();
  const bool rising = channel.scale > 0;
  // Whether a float is not below the first one, going up, that is on the other side than -kMost.
  const auto above = [&](int64_t rank) { return Passes(channel, FloatOfRank(rank)) == rising; };
  const int64_t least = Rank(-kMost), most = Rank(kMost);
  if (!above(most)) return kMost;  // nothing passes, or everything
  if (above(least)) return -kMost;
  const double exact = channel.mean - static_cast<double>(channel.shift) / channel.scale;
  const double inside = std::clamp(exact, -static_cast<double>(kMost), static_cast<double>(kMost));
  int64_t low = Rank(static_cast<float>(inside)), high = low;
  if (above(low)) {
    for (int64_t step = 1; above(low); step *= 2) {
      high = low;
      low = std::max(low - step, least);
    }
  } else {
    for (int64_t step = 1; !above(high); step *= 2) {
      low = high;
      high = std::min(high + step, most);
    }
  }
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    (above(middle) ? high : low) = middle;
  }
  return FloatOfRank(rising ? low : high);
}

CodecOptions SidedBounds(const std::vector<NormChannel>& channels,
                         const NormBoundOptions& options) {
  CodecOptions bounds;
  if (!std::all_of(channels.begin(), channels.end(), Finite)) return bounds;
  for (size_t i = 0; i < channels.size(); ++i) {
    const NormChannel& c = channels[i];
    const double deviation = 1.0 / c.inv_std;
    const double limit = options.output_limits.empty() ? INFINITY : options.output_limits[i];
    const double output = std::min(options.output, limit) / std::abs(static_cast<double>(c.scale));
    const double active = std::min(options.active * deviation, c.scale == 0 ? INFINITY : output);
    bounds.bound.channel.push_back(UsableBound(active));
    bounds.activity.inactive_bound.push_back(UsableBound(options.inactive * deviation));
    bounds.activity.sign.push_back(c.scale > 0 ? 1 : c.scale < 0 ? -1 : 0);
    bounds.activity.threshold.push_back(c.scale == 0 ? 0.0f : ReluThreshold(c));
  }
  return bounds;
}

}  // namespace encke
