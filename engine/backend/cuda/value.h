// Elements as kernels compute with them: read as float, rounded when written.
//
// The *_ops.h beside this file hold what the CUDA kernels compute, as functors over one index (or
// one channel of one row). They are plain C++ with nothing of CUDA, so that tests run them in loops
// on the host; launch.cuh runs the same text on the GPU. Pointers are device pointers there.
#pragma once

#include <algorithm>
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

// A divisor that is known beforehand, of non-negative 32-bit integers: the quotient takes a
// multiplication and a shift (Granlund and Montgomery, "Division by Invariant Integers using
// Multiplication", 1994).
class Divisor {
 public:
  // REQUIRES: 0 < value < 2^31.
  explicit Divisor(int64_t value) : value_(static_cast<int32_t>(value)) {
    while ((int64_t{1} << shift_) < value) ++shift_;
    const uint64_t rest = (uint64_t{1} << shift_) - static_cast<uint64_t>(value);
    factor_ = static_cast<uint32_t>((rest << 32) / static_cast<uint64_t>(value) + 1);
  }
  ENCKE_HOST_DEVICE operator int32_t() const { return value_; }
  ENCKE_HOST_DEVICE friend int32_t operator/(int32_t a, const Divisor& b) {
    const uint32_t n = static_cast<uint32_t>(a);
    const uint32_t high = static_cast<uint32_t>((static_cast<uint64_t>(n) * b.factor_) >> 32);
    return static_cast<int32_t>((high + n) >> b.shift_);
  }

 private:
  int32_t value_;
  int32_t shift_ = 0;
  uint32_t factor_;
};

// N neighbouring elements, loaded and stored at once.
template <typename T, int N>
struct alignas(sizeof(T) * N) Pack {
  T values[N];
};

template <int N, typename T>
ENCKE_HOST_DEVICE inline Pack<T, N> LoadPack(const T* from) {
  return *reinterpret_cast<const Pack<T, N>*>(from);
}

// Elements in 16 bytes of the widest of the types.
template <typename... T>
constexpr int PackSize() {
  return static_cast<int>(16 / std::max({sizeof(T)...}));
}

// Index of an element of a [N,H,W,C] tensor, taken apart.
struct Position {
  int64_t n, h, w, c;
};

ENCKE_HOST_DEVICE inline Position PositionOf(int64_t i, int64_t h, int64_t w, int64_t c) {
  const int64_t pixel = Divide(i, c), row = Divide(pixel, w), sample = Divide(row, h);
  return {sample, row - sample * h, pixel - row * w, i - pixel * c};
}

}  // namespace encke::cuda
