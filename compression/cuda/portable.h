// What lets one source be compiled by nvcc for the GPU and by any C++ compiler for the tests: marks
// on functions, and the few operations that have another name on the GPU.
#pragma once

#include <cmath>
#include <cstdint>

#include "compression/simd/block.h"

// Code of a whole warp (compression/cuda/warp.h): on the GPU only, or on the CPU under emulation.
#ifdef __CUDACC__
#define ENCKE_WARP_CODE __device__
#else
#define ENCKE_WARP_CODE
#endif
// For members of classes that run on both sides.
#define ENCKE_INLINE_MEMBER ENCKE_HOST_DEVICE inline __attribute__((always_inline))
// Rare paths, kept out of the way of the others' registers.
#ifdef __CUDACC__
#define ENCKE_NOINLINE __noinline__
#else
#define ENCKE_NOINLINE __attribute__((noinline))
#endif

namespace encke::cuda {

using simd::BitsOf;
using simd::kBlockElements;
using simd::Popcount;
using simd::SetBits;

// Single precision without contraction into FMA, so that GPU and CPU round alike.
ENCKE_INLINE float Multiply(float a, float b) {
#ifdef __CUDA_ARCH__
  return __fmul_rn(a, b);
#else
  return a * b;
#endif
}
ENCKE_INLINE float Add(float a, float b) {
#ifdef __CUDA_ARCH__
  return __fadd_rn(a, b);
#else
  return a + b;
#endif
}
ENCKE_INLINE float Subtract(float a, float b) {
#ifdef __CUDA_ARCH__
  return __fsub_rn(a, b);
#else
  return a - b;
#endif
}

// Sets bits of a word that several lanes of a warp write.
ENCKE_INLINE void AtomicOr(uint32_t* word, uint32_t bits) {
#ifdef __CUDA_ARCH__
  atomicOr(word, bits);
#else
  *word |= bits;
#endif
}

// The least of what lanes, of any warp, give.
ENCKE_INLINE void AtomicLeast(uint32_t* least, uint32_t value) {
#ifdef __CUDA_ARCH__
  atomicMin(least, value);
#else
  *least = *least < value ? *least : value;
#endif
}

template <typename T>
ENCKE_INLINE T Least(T a, T b) {
  return a < b ? a : b;
}

ENCKE_INLINE uint32_t CeilDivide(uint32_t a, uint32_t b) { return (a + b - 1) / b; }

}  // namespace encke::cuda
