#include "compression/simd/fast_kernel.h"
#include "compression/simd/ops_avx512.h"

namespace encke::simd {

const Kernels& Avx512Kernels() {
  static constexpr Kernels kernels = {"avx512", EncodeFast<Avx512Ops>, DecodeFast<Avx512Ops>};
  return kernels;
}

}  // namespace encke::simd
