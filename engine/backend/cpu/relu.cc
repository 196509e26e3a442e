// ReLU and its one-bit masks.
#include <algorithm>
#include <cstring>

#include "engine/backend/cpu/cpu_backend.h"
#include "engine/backend/cpu/simd.h"
#include "engine/core/error.h"

namespace encke::cpu {
namespace {

constexpr int64_t kMaskBytes = 64;  // worked on together

// Bit j of out[b] = flags[8 * b + j], which is 0 or 1. The product moves flag j, at bit 8j of the
// word, to bit 56 + j.
ENCKE_INLINE inline void PackFlags(const uint8_t* flags, int64_t bytes, uint8_t* out) {
  for (int64_t b = 0; b < bytes; ++b) {
    uint64_t word;
    std::memcpy(&word, flags + 8 * b, sizeof(word));
    out[b] = static_cast<uint8_t>((word * 0x0102040810204080u) >> 56);
  }
}

// The other way; a flag that is set becomes some other value than 0.
ENCKE_INLINE inline void UnpackFlags(const uint8_t* packed, int64_t bytes, uint8_t* flags) {
  for (int64_t b = 0; b < bytes; ++b) {
    const uint64_t word = (packed[b] * 0x0101010101010101u) & 0x8040201008040201u;
    std::memcpy(flags + 8 * b, &word, sizeof(word));
  }
}

}  // namespace

void CpuBackend::ReluForward(const Tensor& x, const Tensor& y) {
  CheckAlike(x, y);
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    const T* from = Elements<T>(x);
    T* to = Elements<T>(y);
    ParallelSimd(x.elements(), kElementGrain, [=](int64_t begin, int64_t end) ENCKE_INLINE {
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) {
        const float v = Widen(from[i]);
        to[i] = Narrow<T>(v <= 0.0f ? 0.0f : v);  // false for NaN
      }
    });
  });
}

void CpuBackend::ReluBackward(const Tensor& y, const Tensor& dy, const Tensor& dx) {
  CheckAlike(y, dy);
  CheckAlike(dy, dx);
  WithFloatType(y.dtype(), [&](auto type) {
    using T = decltype(type);
    const T* py = Elements<T>(y);
    const T* from = Elements<T>(dy);
    T* to = Elements<T>(dx);
    ParallelSimd(y.elements(), kElementGrain, [=](int64_t begin, int64_t end) ENCKE_INLINE {
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) {
        const float g = Widen(from[i]);
        to[i] = Narrow<T>(Widen(py[i]) > 0.0f ? g : 0.0f);
      }
    });
  });
}

void CpuBackend::PackMask(const Tensor& x, const Tensor& bits) {
  const int64_t n = x.elements(), bytes = (n + 7) / 8;
  ENCKE_CHECK(bits.elements() >= bytes, bits.elements(), " for ", bytes);
  uint8_t* out = bits.data<uint8_t>();
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    const T* in = Elements<T>(x);
    ParallelSimd(bytes, kElementGrain / 8, [=](int64_t begin, int64_t end) ENCKE_INLINE {
      alignas(64) uint8_t flags[8 * kMaskBytes];
      for (int64_t first = begin; first < end; first += kMaskBytes) {
        const int64_t last = std::min(first + kMaskBytes, end);
        const int64_t count = std::min(8 * last, n) - 8 * first;
        if (count < 8 * kMaskBytes) std::fill(flags, flags + 8 * kMaskBytes, uint8_t{0});
#pragma omp simd
        for (int64_t i = 0; i < count; ++i) flags[i] = Widen(in[8 * first + i]) > 0.0f ? 1 : 0;
        PackFlags(flags, last - first, out + first);
      }
    });
  });
}

void CpuBackend::ReluBackwardFromMask(const Tensor& bits, const Tensor& dy, const Tensor& dx) {
  CheckAlike(dy, dx);
  const int64_t n = dy.elements(), bytes = (n + 7) / 8;
  ENCKE_CHECK(bits.elements() >= bytes, bits.elements(), " for ", bytes);
  const uint8_t* mask = bits.data<uint8_t>();
  WithFloatType(dy.dtype(), [&](auto type) {
    using T = decltype(type);
    const T* from = Elements<T>(dy);
    T* to = Elements<T>(dx);
    ParallelSimd(bytes, kElementGrain / 8, [=](int64_t begin, int64_t end) ENCKE_INLINE {
      alignas(64) uint8_t flags[8 * kMaskBytes];
      for (int64_t first = begin; first < end; first += kMaskBytes) {
        const int64_t last = std::min(first + kMaskBytes, end);
        const int64_t base = 8 * first, count = std::min(8 * last, n) - base;
        UnpackFlags(mask + first, last - first, flags);
#pragma omp simd
        for (int64_t i = 0; i < count; ++i) {
          const float g = Widen(from[base + i]);
          to[base + i] = Narrow<T>(flags[i] != 0 ? g : 0.0f);
        }
      }
    });
  });
}

}  // namespace encke::cpu
