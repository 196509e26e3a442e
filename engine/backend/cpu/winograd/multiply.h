// The matrix product of winograd/kernels.h for vectors V: blocks of kRows x (2 V) of c are summed
// in registers over the whole inner dimension.
#pragma once

#include <cstdint>

#include "engine/backend/cpu/winograd/kernels.h"

namespace encke::cpu::winograd {

template <typename V, int kRows, int kVectors>
inline void MultiplyBlock(const Product& p, const float* a, const float* b, float* c) {
  V sums[kRows][kVectors];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i)
    for (int v = 0; v < kVectors; ++v)
      sums[i][v] = p.accumulate ? V::Load(c + i * p.c_row + v * V::kLanes) : V(0.0f);
  for (int64_t j = 0; j < p.inner; ++j, a += p.a_inner, b += p.b_row) {
    V factors[kVectors];
    for (int v = 0; v < kVectors; ++v) factors[v] = V::Load(b + v * V::kLanes);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const V factor(a[i * p.a_row]);
      for (int v = 0; v < kVectors; ++v) sums[i][v] = Fma(factor, factors[v], sums[i][v]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i)
    for (int v = 0; v < kVectors; ++v) sums[i][v].Store(c + i * p.c_row + v * V::kLanes);
}

// The columns [column, column + kVectors * V::kLanes) of c.
template <typename V, int kRows, int kVectors>
inline void MultiplyPanel(const Product& p, int64_t column) {
  for (int64_t row = 0; row < p.rows; row += kRows) {
    MultiplyBlock<V, kRows, kVectors>(p, p.a + row * p.a_row, p.b + column,
                                      p.c + row * p.c_row + column);
  }
}

template <typename V, int kRows>
void Multiply(const Product& p) {
  static_assert(kRowStep % kRows == 0 && kChannelStep % V::kLanes == 0);
  int64_t column = 0;
  for (; column + 2 * V::kLanes <= p.columns; column += 2 * V::kLanes)
    MultiplyPanel<V, kRows, 2>(p, column);
  for (; column < p.columns; column += V::kLanes) MultiplyPanel<V, kRows, 1>(p, column);
}

}  // namespace encke::cpu::winograd
