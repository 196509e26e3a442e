#include "compression/simd/fast_kernel.h"
#include "compression/simd/ops_avx2.h"

namespace encke::simd {

const Kernels& Avx2Kernels() {
  static constexpr Kernels kernels = {"avx2", EncodeFast<Avx2Ops>, DecodeFast<Avx2Ops>};
  return kernels;
}

}  // namespace encke::simd
