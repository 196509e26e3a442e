// Elements as kernels compute with them: read as float, rounded when written.
//
// The *_ops.h beside this file hold what the CUDA kernels compute, as functors over one index (or
// one channel of one row). They are plain C++ with nothing of CUDA, so that tests run them in loops
// on the host; launch.cuh runs the same text on the GPU. Pointers are device pointers there.
#pragma once

#include <cstdint>
#include <type_traits>

#include "engine/core/dtype.h"
#include "engine/core/host_device.h"

namespace encke::cuda {

ENCKE_HOST_DEVICE inline float Widen(float value) { return value; }
ENCKE_HOST_DEVICE inline float Widen(bfloat16 value) { return static_cast<float>(value); }
ENCKE_HOST_DEVICE inline float Widen(uint8_t value) { return static_cast<float>(value); }

template <typename T>
ENCKE_HOST_DEVICE inline T Narrow(float value) {
  if constexpr (std::is_same_v<T, float>) {
    return value;
  } else {
    return T(value);
  }
}

// a / b for non-negative a and positive b. Division of 64-bit integers costs a GPU several times
// that of 32-bit ones, which nearly always do.
ENCKE_HOST_DEVICE inline int64_t Divide(int64_t a, int64_t b) {
  if (((a | b) >> 32) != 0) return a / b;
  return static_cast<uint32_t>(a) / static_cast<uint32_t>(b);
}

ENCKE_HOST_DEVICE inline int64_t Modulo(int64_t a, int64_t b) { return a - Divide(a, b) * b; }

// Index of an element of a [N,H,W,C] tensor, taken apart.
struct Position {
  int64_t n, h, w, c;
};

ENCKE_HOST_DEVICE inline Position PositionOf(int64_t i, int64_t h, int64_t w, int64_t c) {
  const int64_t pixel = Divide(i, c), row = Divide(pixel, w), sample = Divide(row, h);
  return {sample, row - sample * h, pixel - row * w, i - pixel * c};
}

}  // namespace encke::cuda
