#include "compression/simd/dense_kernel.h"
#include "compression/simd/fast_kernel.h"
#include "compression/simd/ops_avx2.h"
#include "compression/simd/rans_avx2.h"

namespace encke::simd {

const Kernels& Avx2Kernels() {
  static constexpr Kernels kernels = {"avx2",
                                      EncodeFast<Avx2Ops>,
                                      DecodeFast<Avx2Ops>,
                                      QuantizeAll<Avx2Ops>,
                                      EncodeDense<DenseBlocks<Avx2Ops>, Avx2Rans>,
                                      DecodeDense<DenseBlocks<Avx2Ops>, Avx2Rans>};
  return kernels;
}

}  // namespace encke::simd
