// Loops that run on whatever vector unit this machine has: the same body is compiled for AVX-512,
// AVX2 and plain x86-64, and chosen when it is called. Nothing is contracted into FMA, so
// element-wise results are the same on all three.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "engine/core/dtype.h"
#include "engine/core/error.h"
#include "engine/core/parallel.h"
#include "engine/core/tensor.h"

// Every lambda that Simd() or ParallelSimd() takes must carry this, or it would be compiled for
// plain x86-64.
#define ENCKE_INLINE __attribute__((always_inline))

namespace encke::cpu {

enum class VectorUnit { NONE, AVX2, AVX512 };

inline VectorUnit DetectVectorUnit() {
  if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq")) {
    return VectorUnit::AVX512;
  }
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? VectorUnit::AVX2
                                                                         : VectorUnit::NONE;
}

template <typename Body>
__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,fma"), noinline)) void RunAvx512(
    const Body& body) {
  body();
}

template <typename Body>
__attribute__((target("avx2,fma"), noinline)) void RunAvx2(const Body& body) {
  body();
}

// Calls body() as compiled for the best vector unit.
template <typename Body>
void Simd(const Body& body) {
  switch (DetectVectorUnit()) {
    case VectorUnit::AVX512:
      return RunAvx512(body);
    case VectorUnit::AVX2:
      return RunAvx2(body);
    case VectorUnit::NONE:
      return body();
  }
}

// body(begin, end) on ranges of [0, n), over all threads; see ParallelFor for the grain.
template <typename Body>
void ParallelSimd(int64_t n, int64_t grain, const Body& body) {
  ParallelFor(n, grain,
              [&](int64_t begin, int64_t end) { Simd([&]() ENCKE_INLINE { body(begin, end); }); });
}

// Elements below which a loop is not worth another thread.
inline constexpr int64_t kElementGrain = 16384;

// Rows of `row_elements` below which a loop over rows is not worth another thread.
inline int64_t RowGrain(int64_t row_elements) {
  return row_elements >= kElementGrain ? 1 : kElementGrain / (row_elements > 0 ? row_elements : 1);
}

// Elements as kernels see them: float, or the bits of a bfloat16. (A class type, small as it is,
// would keep the compiler from vectorising.)
using Bf16Bits = uint16_t;

ENCKE_INLINE inline float Widen(float value) { return value; }

ENCKE_INLINE inline float Widen(Bf16Bits bits) {
  const uint32_t u = static_cast<uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &u, sizeof(value));
  return value;
}

// Rounds as bfloat16(value) does.
template <typename T>
ENCKE_INLINE inline T Narrow(float value) {
  if constexpr (std::is_same_v<T, float>) {
    return value;
  } else {
    uint32_t u;
    std::memcpy(&u, &value, sizeof(u));
    const uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    const uint32_t nan = (u >> 16) | 0x40u;
    return static_cast<Bf16Bits>((u & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
  }
}

// The tensor's elements. REQUIRES: T is float for F32, Bf16Bits for BF16.
template <typename T>
T* Elements(const Tensor& tensor) {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, Bf16Bits>);
  ENCKE_CHECK(tensor.dtype() == (std::is_same_v<T, float> ? DType::F32 : DType::BF16),
              NameOf(tensor.dtype()));
  return static_cast<T*>(tensor.raw());
}

// to[i] = from[i], between float and bfloat16.
template <typename To, typename From>
void Convert(const From* from, To* to, int64_t n) {
  ParallelSimd(n, kElementGrain, [=](int64_t begin, int64_t end) ENCKE_INLINE {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) to[i] = Narrow<To>(Widen(from[i]));
  });
}

// Calls f(T()) with T = float or Bf16Bits. REQUIRES: F32 or BF16.
template <typename F>
void WithFloatType(DType dtype, const F& f) {
  ENCKE_CHECK(dtype == DType::F32 || dtype == DType::BF16, NameOf(dtype));
  if (dtype == DType::F32) {
    f(float());
  } else {
    f(Bf16Bits());
  }
}

inline void CheckSameShape(const Tensor& a, const Tensor& b) {
  ENCKE_CHECK(a.shape() == b.shape(), a.shape().ToString(), " and ", b.shape().ToString());
}

// As CheckSameShape, and one element type.
inline void CheckAlike(const Tensor& a, const Tensor& b) {
  CheckSameShape(a, b);
  ENCKE_CHECK(a.dtype() == b.dtype(), NameOf(a.dtype()), " and ", NameOf(b.dtype()));
}

}  // namespace encke::cpu
