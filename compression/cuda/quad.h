// Four consecutive elements: what a lane loads and stores at a time.
#pragma once

#include "compression/cuda/portable.h"

namespace encke::cuda {

constexpr int kQuad = 4;
constexpr int kQuadsInBlock = kBlockElements / kQuad;

template <typename T>
struct alignas(kQuad * sizeof(T)) Quad {
  T x[kQuad];
};

template <typename T>
ENCKE_INLINE bool IsQuadAligned(const T* data) {
  return reinterpret_cast<uintptr_t>(data) % sizeof(Quad<T>) == 0;
}

// To global memory, at once. (What looks like it may become four stores.)
ENCKE_INLINE void StoreAligned(const Quad<float>& quad, float* data) {
#ifdef __CUDA_ARCH__
  asm volatile("st.global.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(data), "f"(quad.x[0]),
               "f"(quad.x[1]), "f"(quad.x[2]), "f"(quad.x[3])
               : "memory");
#else
  *reinterpret_cast<Quad<float>*>(data) = quad;
#endif
}
ENCKE_INLINE void StoreAligned(const Quad<uint16_t>& quad, uint16_t* data) {
#ifdef __CUDA_ARCH__
  asm volatile("st.global.v4.u16 [%0], {%1, %2, %3, %4};" ::"l"(data), "h"(quad.x[0]),
               "h"(quad.x[1]), "h"(quad.x[2]), "h"(quad.x[3])
               : "memory");
#else
  *reinterpret_cast<Quad<uint16_t>*>(data) = quad;
#endif
}

// Elements [begin, begin + 4) of `data`; what lies behind `end` is +0.
template <typename T>
ENCKE_INLINE Quad<T> LoadQuad(const T* data, uint32_t begin, uint32_t end) {
  const T* from = data + begin;
  if (begin + kQuad <= end && IsQuadAligned(from)) return *reinterpret_cast<const Quad<T>*>(from);
  Quad<T> quad;
  for (int i = 0; i < kQuad; ++i) quad.x[i] = begin + i < end ? from[i] : T{0};
  return quad;
}

// Stores those of the elements `begin`, `begin` + 1, ... that lie in [0, end) to data[...].
template <typename T>
ENCKE_INLINE void StoreQuad(const Quad<T>& quad, int64_t begin, int64_t end, T* data) {
  if (begin >= 0 && begin + kQuad <= end && IsQuadAligned(data + begin)) {
    StoreAligned(quad, data + begin);
    return;
  }
  for (int i = 0; i < kQuad; ++i) {
    if (begin + i >= 0 && begin + i < end) data[begin + i] = quad.x[i];
  }
}

}  // namespace encke::cuda
