// What every instruction set's block operations share: the layout of a block and of its sums.
//
// The files in this folder that are compiled for a newer instruction set than the rest of the
// program include no standard header with inline functions besides <cstdint> and <cstring>: the
// linker may keep either copy of such a function.
#pragma once

#include <cstdint>
#include <cstring>

#include "compression/simd/kernels.h"
#include "engine/core/host_device.h"

// Loops whose index chooses registers.
#ifdef __CUDA_ARCH__
#define ENCKE_UNROLL _Pragma("unroll")
#else
#define ENCKE_UNROLL
#endif
#define ENCKE_INLINE ENCKE_HOST_DEVICE static inline __attribute__((always_inline))

namespace encke::simd {

constexpr int kBlockElements = 64;
constexpr int kSumLanes = 16;
constexpr uint32_t kCodeLimit = 0xffff;   // codes above are escapes
constexpr int kCellLimit = 0x7fff;        // with activity: cells further from the threshold, too
constexpr float kCentroidUnit = 0x1p-8f;  // of a cell's width

// Elements are `float`, or `uint16_t` for bfloat16. Bit patterns as the escapes keep them:
ENCKE_INLINE uint32_t BitsOf(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  return bits;
}
ENCKE_INLINE uint32_t BitsOf(uint16_t x) { return x; }

ENCKE_INLINE void SetBits(uint32_t bits, float* x) { std::memcpy(x, &bits, sizeof(bits)); }
ENCKE_INLINE void SetBits(uint32_t bits, uint16_t* x) { *x = static_cast<uint16_t>(bits); }

// QuantizerTables::centroids: the byte of cell `k`, 0 for cells that have none.
ENCKE_INLINE int CentroidOffset(int32_t packed, int32_t k) {
  const bool has = k <= 0 && k > -kCentroids;
  return has ? static_cast<int8_t>(static_cast<uint32_t>(packed) >> 8 * (has ? -k : 0)) : 0;
}

// Calls body(0), ..., body(N - 1), each with a constant of its own, so that what is indexed by them
// stays in registers.
template <int kValue>
struct Constant {
  constexpr operator int() const { return kValue; }
};
template <int N, typename Body>
ENCKE_INLINE void Unrolled(const Body& body) {
  if constexpr (N > 0) {
    Unrolled<N - 1>(body);
    body(Constant<N - 1>());
  }
}

ENCKE_INLINE int Popcount(uint64_t x) {
#ifdef __CUDA_ARCH__
  return __popcll(x);
#else
  return __builtin_popcountll(x);
#endif
}
// REQUIRES: x != 0, here and below.
ENCKE_INLINE int LowestBit(uint64_t x) {
#ifdef __CUDA_ARCH__
  return __ffsll(static_cast<long long>(x)) - 1;
#else
  return __builtin_ctzll(x);
#endif
}
ENCKE_INLINE int HighestBit(uint32_t x) {
#ifdef __CUDA_ARCH__
  return 31 - __clz(static_cast<int>(x));
#else
  return 31 - __builtin_clz(x);
#endif
}

}  // namespace encke::simd
