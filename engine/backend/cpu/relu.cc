// ReLU and its one-bit masks.
#include "engine/backend/cpu/cpu_backend.h"
#include "engine/backend/cpu/simd.h"
#include "engine/core/error.h"

namespace encke::cpu {

void CpuBackend::ReluForward(const Tensor& x, const Tensor& y) {
  CheckAlike(x, y);
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    const T* from = x.data<T>();
    T* to = y.data<T>();
    ParallelSimd(x.elements(), kElementGrain, [=](int64_t begin, int64_t end) ENCKE_INLINE {
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) {
        const float v = static_cast<float>(from[i]);
        to[i] = static_cast<T>(v <= 0.0f ? 0.0f : v);  // false for NaN
      }
    });
  });
}

void CpuBackend::ReluBackward(const Tensor& y, const Tensor& dy, const Tensor& dx) {
  CheckAlike(y, dy);
  CheckAlike(dy, dx);
  WithFloatType(y.dtype(), [&](auto type) {
    using T = decltype(type);
    const T* py = y.data<T>();
    const T* from = dy.data<T>();
    T* to = dx.data<T>();
    ParallelSimd(y.elements(), kElementGrain, [=](int64_t begin, int64_t end) ENCKE_INLINE {
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) {
        const float g = static_cast<float>(from[i]);
        to[i] = static_cast<T>(static_cast<float>(py[i]) > 0.0f ? g : 0.0f);
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
    const T* in = x.data<T>();
    ParallelSimd(n / 8, kElementGrain / 8, [=](int64_t begin, int64_t end) ENCKE_INLINE {
#pragma omp simd
      for (int64_t b = begin; b < end; ++b) {
        uint32_t byte = 0;
        for (int j = 0; j < 8; ++j)
          byte |= static_cast<uint32_t>(static_cast<float>(in[8 * b + j]) > 0.0f) << j;
        out[b] = static_cast<uint8_t>(byte);
      }
    });
    if (n % 8 == 0) return;
    uint8_t last = 0;
    for (int64_t i = n / 8 * 8; i < n; ++i)
      last |= static_cast<uint8_t>((static_cast<float>(in[i]) > 0.0f) << (i % 8));
    out[n / 8] = last;
  });
}

void CpuBackend::ReluBackwardFromMask(const Tensor& bits, const Tensor& dy, const Tensor& dx) {
  CheckAlike(dy, dx);
  const int64_t n = dy.elements();
  ENCKE_CHECK(bits.elements() >= (n + 7) / 8, bits.elements(), " for ", n);
  const uint8_t* mask = bits.data<uint8_t>();
  WithFloatType(dy.dtype(), [&](auto type) {
    using T = decltype(type);
    const T* from = dy.data<T>();
    T* to = dx.data<T>();
    ParallelSimd(n, kElementGrain, [=](int64_t begin, int64_t end) ENCKE_INLINE {
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) to[i] = (mask[i >> 3] >> (i & 7)) & 1 ? from[i] : T();
    });
  });
}

}  // namespace encke::cpu
