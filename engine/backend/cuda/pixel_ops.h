// Functors of pixels.cu.
#pragma once

#include "engine/backend/cuda/value.h"
#include "engine/backend/pixel_number.h"

namespace encke::cuda {

// sample[i] = the number of the pixel that is looked at as number i.
template <typename T>
struct SamplePixelOp {
  PixelNumbers<T> numbers;
  int64_t sampled, pixels;
  uint64_t* sample;
  ENCKE_HOST_DEVICE void operator()(int64_t i) const {
    sample[i] = numbers(SampledPixel(i, sampled, pixels));
  }
};

// counts[i] = how often sample[i] was met; 0 where it is 0.
struct CountPixelOp {
  const uint64_t* sample;
  int64_t sampled;
  int32_t* counts;
  ENCKE_HOST_DEVICE void operator()(int64_t i) const {
    const uint64_t number = sample[i];
    int32_t count = 0;
    for (int64_t j = 0; j < sampled; ++j) count += sample[j] == number;
    counts[i] = number != 0 ? count : 0;
  }
};

// Element i of an image of `channels` channels: 1 where the pixel of x has the number `wanted`, or
// else where it has another; or 0.
template <typename T>
struct MarkPixelOp {
  PixelNumbers<T> numbers;
  const uint64_t* wanted;
  bool repeated;
  int64_t channels;
  T* image;
  ENCKE_HOST_DEVICE void operator()(int64_t i) const {
    const bool found = *wanted != 0 && numbers(Divide(i, channels)) == *wanted;
    image[i] = Narrow<T>(found == repeated ? 1.0f : 0.0f);
  }
};

}  // namespace encke::cuda
