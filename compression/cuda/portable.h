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

// Words in shared memory whose address a lane has in a register. (Of a pointer that is kept, the
// compiler would compute it each time it is used.)
class SharedWords {
 public:
  SharedWords() = default;
#ifdef __CUDA_ARCH__
  ENCKE_INLINE_MEMBER explicit SharedWords(const uint32_t* words)
      : address_(static_cast<uint32_t>(__cvta_generic_to_shared(words))) {}
  // Of the word with bit `bit`, and of the next two.
  ENCKE_INLINE_MEMBER void Load3(uint32_t bit, uint32_t* loaded) const {
    asm volatile("ld.shared.u32 %0, [%3];\n ld.shared.u32 %1, [%3+4];\n ld.shared.u32 %2, [%3+8];"
                 : "=r"(loaded[0]), "=r"(loaded[1]), "=r"(loaded[2])
                 : "r"(address_ + (bit / 32) * 4)
                 : "memory");
  }

 private:
  uint32_t address_;
#else
  ENCKE_INLINE_MEMBER explicit SharedWords(const uint32_t* words) : words_(words) {}
  ENCKE_INLINE_MEMBER void Load3(uint32_t bit, uint32_t* loaded) const {
    for (int k = 0; k < 3; ++k) loaded[k] = words_[bit / 32 + k];
  }

 private:
  const uint32_t* words_;
#endif
};

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

template <typename T>
ENCKE_INLINE T Greatest(T a, T b) {
  return a < b ? b : a;
}

ENCKE_INLINE uint32_t CeilDivide(uint32_t a, uint32_t b) { return (a + b - 1) / b; }

}  // namespace encke::cuda
