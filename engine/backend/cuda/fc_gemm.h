// Fully connected layers as matrix products the way cuBLAS counts: column-major, so that a
// row-major matrix [rows, columns] is the column-major [columns, rows]. Host logic without CUDA.
#pragma once

#include <cstdint>

namespace encke::cuda {

// c [m, n] = op(a) [m, k] op(b) [k, n], column-major; ld* is the distance between columns.
struct Gemm {
  bool transpose_a, transpose_b;
  int64_t m, n, k;
  int64_t lda, ldb, ldc;
};

// y[N,K] = x[N,C] w[K,C]^T:  a = w, b = x, c = y.
inline Gemm FcForward(int64_t n, int64_t c, int64_t k) { return {true, false, k, n, c, c, c, k}; }
// dx[N,C] = dy[N,K] w[K,C]:  a = w, b = dy, c = dx.
inline Gemm FcBackwardData(int64_t n, int64_t c, int64_t k) {
  return {false, false, c, n, k, c, k, c};
}
// dw[K,C] = dy[N,K]^T x[N,C]:  a = x, b = dy, c = dw.
inline Gemm FcBackwardFilter(int64_t n, int64_t c, int64_t k) {
  return {false, true, c, k, n, c, k, c};
}

}  // namespace encke::cuda
