#include "compression/simd/fast_kernel.h"
#include "compression/simd/ops_reference.h"

namespace encke::simd {

const Kernels& ReferenceKernels() {
  static constexpr Kernels kernels = {"reference", EncodeFast<ReferenceOps>,
                                      DecodeFast<ReferenceOps>};
  return kernels;
}

}  // namespace encke::simd
