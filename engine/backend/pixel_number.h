// Numbers by which pixels are told apart, and what is said of a sample of them, alike on every
// device.
#pragma once

#include <cstdint>
#include <cstring>

#include "engine/core/host_device.h"

namespace encke {

// Pixels that Backend::FindRepeatedPixel looks at, at most.
inline constexpr int64_t kMostSampledPixels = 4096;

// The number of each pixel of x (T is float or bfloat16), which has `channels` channels, of which
// `some` are looked at, evenly spread: equal for pixels that are equal in these; 0 for one that is
// 0 in all of them.
template <typename T>
class PixelNumbers {
 public:
  // REQUIRES: 0 < some <= channels.
  PixelNumbers(const T* x, int64_t channels, int64_t some)
      : x_(x), channels_(channels), some_(some), step_(channels / some), rest_(channels % some) {}

  ENCKE_HOST_DEVICE uint64_t operator()(int64_t pixel) const {
    const T* from = x_ + pixel * channels_;
    uint64_t number = 0;
    bool zero = true;
    for (int64_t c = 0, rest = 0; c < some_; ++c) {
      const float value = static_cast<float>(*from);
      zero = zero && value == 0.0f;
      number = Mixed(number, value);
      from += step_;
      rest += rest_;
      if (rest < some_) continue;
      rest -= some_;
      ++from;
    }
    return zero ? 0 : number;
  }

 private:
  ENCKE_HOST_DEVICE static uint64_t Mixed(uint64_t number, float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    number = (number ^ bits) * 0x9E3779B97F4A7C15ull;
    return number ^ (number >> 32);
  }

  const T* x_;
  int64_t channels_, some_;
  int64_t step_, rest_;  // from one to the next: floats, and parts of one (of some_)
};

inline int64_t SampledPixels(int64_t pixels) {
  return pixels < kMostSampledPixels ? pixels : kMostSampledPixels;
}

// The pixel that is looked at as number i of `sampled`: one of each of as many equal ranges, at
// places that differ, so that it is not the same few columns of each image that are seen.
ENCKE_HOST_DEVICE inline int64_t SampledPixel(int64_t i, int64_t sampled, int64_t pixels) {
  const int64_t begin = i * pixels / sampled, end = (i + 1) * pixels / sampled;
  const uint64_t place = static_cast<uint32_t>(i) * 2654435769u;  // golden ratio, over 2^32
  return begin + static_cast<int64_t>(place * static_cast<uint64_t>(end - begin) >> 32);
}

// How often a number was met.
struct PixelCount {
  uint64_t number = 0;
  int32_t count = 1;  // so that none that is met once is preferred to the number 0
};

// The one met more often; of equals, the smaller number.
ENCKE_HOST_DEVICE inline PixelCount MoreOften(const PixelCount& a, const PixelCount& b) {
  const bool second = b.count > a.count || (b.count == a.count && b.number < a.number);
  return second ? b : a;
}

}  // namespace encke
