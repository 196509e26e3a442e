#include "compression/simd/dense_blocks_avx512.h"
#include "compression/simd/dense_kernel.h"
#include "compression/simd/fast_kernel.h"
#include "compression/simd/ops_avx512.h"
#include "compression/simd/rans_avx512.h"

namespace encke::simd {

const Kernels& Avx512Kernels() {
  static constexpr Kernels kernels = {"avx512",
                                      EncodeFast<Avx512Ops>,
                                      DecodeFast<Avx512Ops>,
                                      QuantizeAll<Avx512Ops>,
                                      EncodeDense<Avx512Blocks, Avx512Rans>,
                                      DecodeDense<Avx512Blocks, Avx512Rans>};
  return kernels;
}

}  // namespace encke::simd
