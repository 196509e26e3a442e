#include "compression/simd/dense_kernel.h"
#include "compression/simd/fast_kernel.h"
#include "compression/simd/ops_reference.h"
#include "compression/simd/rans_reference.h"

namespace encke::simd {

const Kernels& ReferenceKernels() {
  static constexpr Kernels kernels = {"reference",
                                      EncodeFast<ReferenceOps>,
                                      DecodeFast<ReferenceOps>,
                                      QuantizeAll<ReferenceOps>,
                                      EncodeDense<DenseBlocks<ReferenceOps>, ReferenceRans>,
                                      DecodeDense<DenseBlocks<ReferenceOps>, ReferenceRans>};
  return kernels;
}

}  // namespace encke::simd
