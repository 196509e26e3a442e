// Small integers packed 2, 4 or 8 to a byte.
#include "engine/backend/cpu/cpu_backend.h"
#include "engine/backend/cpu/simd.h"
#include "engine/core/error.h"

namespace encke::cpu {
namespace {

// Calls f with kBits as an integral constant, so that loops over a byte unroll.
template <typename F>
void WithBits(int bits, const F& f) {
  switch (bits) {
    case 1:
      return f(std::integral_constant<int, 1>());
    case 2:
      return f(std::integral_constant<int, 2>());
    case 4:
      return f(std::integral_constant<int, 4>());
    default:
      ENCKE_CHECK(false, bits);
  }
}

void CheckPacked(const Tensor& x, int bits, const Tensor& packed) {
  const int64_t bytes = (x.elements() * bits + 7) / 8;
  ENCKE_CHECK(packed.elements() >= bytes, packed.elements(), " for ", bytes);
}

}  // namespace

void CpuBackend::PackBits(const Tensor& x, int bits, const Tensor& packed) {
  CheckPacked(x, bits, packed);
  const uint8_t* in = x.data<uint8_t>();
  uint8_t* out = packed.data<uint8_t>();
  const int64_t n = x.elements();
  WithBits(bits, [&](auto constant) {
    constexpr int kBits = decltype(constant)::value, kEach = 8 / kBits;
    ParallelSimd(n / kEach, kElementGrain, [=](int64_t begin, int64_t end) ENCKE_INLINE {
#pragma omp simd
      for (int64_t b = begin; b < end; ++b) {
        uint8_t byte = 0;
        for (int j = 0; j < kEach; ++j)
          byte = static_cast<uint8_t>(byte | in[kEach * b + j] << (j * kBits));
        out[b] = byte;
      }
    });
    if (n % kEach == 0) return;
    uint8_t last = 0;
    for (int64_t i = n / kEach * kEach; i < n; ++i)
      last = static_cast<uint8_t>(last | in[i] << (i % kEach * kBits));
    out[n / kEach] = last;
  });
}

void CpuBackend::UnpackBits(const Tensor& packed, int bits, const Tensor& x) {
  CheckPacked(x, bits, packed);
  const uint8_t* in = packed.data<uint8_t>();
  uint8_t* out = x.data<uint8_t>();
  WithBits(bits, [&](auto constant) {
    constexpr int kBits = decltype(constant)::value, kEach = 8 / kBits;
    ParallelSimd(x.elements(), kElementGrain, [=](int64_t begin, int64_t end) ENCKE_INLINE {
#pragma omp simd
      for (int64_t i = begin; i < end; ++i)
        out[i] = (in[i / kEach] >> (i % kEach * kBits)) & ((1 << kBits) - 1);
    });
  });
}

}  // namespace encke::cpu
