// Functors of the primitives that pack small integers: one byte of the packed side, or one element
// of the other.
#pragma once

#include <cstdint>

#include "engine/backend/cuda/value.h"

namespace encke::cuda {

// Byte b of the mask x > 0 of n elements.
template <typename T>
struct PackMaskOp {
  const T* x;
  int64_t n;
  uint8_t* bits;
  ENCKE_HOST_DEVICE void operator()(int64_t b) const {
    unsigned byte = 0;
    for (int64_t j = 0; j < 8 && 8 * b + j < n; ++j) {
      byte |= static_cast<unsigned>(Widen(x[8 * b + j]) > 0.0f) << j;
    }
    bits[b] = static_cast<uint8_t>(byte);
  }
};

struct MaskedGradientOp {
  const uint8_t* bits;
  ENCKE_HOST_DEVICE float operator()(int64_t i, float dy) const {
    return (bits[i / 8] >> (i % 8) & 1) != 0 ? dy : 0.0f;
  }
};

// Byte b of n elements with `width` bits each (1, 2 or 4).
struct PackBitsOp {
  const uint8_t* x;
  int64_t n;
  int width;
  uint8_t* packed;
  ENCKE_HOST_DEVICE void operator()(int64_t b) const {
    const int each = 8 / width;
    unsigned byte = 0;
    for (int j = 0; j < each && b * each + j < n; ++j) {
      byte |= static_cast<unsigned>(x[b * each + j]) << (j * width);
    }
    packed[b] = static_cast<uint8_t>(byte);
  }
};

struct UnpackBitsOp {
  const uint8_t* packed;
  int width;
  uint8_t* x;
  ENCKE_HOST_DEVICE void operator()(int64_t i) const {
    const int each = 8 / width;
    const unsigned mask = (1u << width) - 1;
    x[i] = static_cast<uint8_t>(packed[i / each] >> (i % each * width) & mask);
  }
};

}  // namespace encke::cuda
