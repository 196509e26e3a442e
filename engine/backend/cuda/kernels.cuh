// What the kernels' host side shares.
#pragma once

#include "engine/backend/cuda/launch.cuh"
#include "engine/core/tensor.h"

namespace encke::cuda {

inline void CheckSameShape(const Tensor& a, const Tensor& b) {
  ENCKE_CHECK(a.shape() == b.shape(), a.shape().ToString(), " and ", b.shape().ToString());
}

// As CheckSameShape, and one element type.
inline void CheckAlike(const Tensor& a, const Tensor& b) {
  CheckSameShape(a, b);
  ENCKE_CHECK(a.dtype() == b.dtype(), NameOf(a.dtype()), " and ", NameOf(b.dtype()));
}

// Calls f(T()) with T = float or bfloat16. REQUIRES: F32 or BF16.
template <typename F>
void WithFloatType(DType dtype, const F& f) {
  ENCKE_CHECK(dtype == DType::F32 || dtype == DType::BF16, NameOf(dtype));
  if (dtype == DType::F32) {
    f(float());
  } else {
    f(bfloat16());
  }
}

}  // namespace encke::cuda
