// Masks and small integers, packed to bytes.
#include "engine/backend/cuda/cuda_backend.h"
#include "engine/backend/cuda/kernels.cuh"
#include "engine/backend/cuda/mask_ops.h"

namespace encke::cuda {
namespace {

void CheckPacked(int64_t elements, int bits, const Tensor& packed) {
  ENCKE_CHECK(bits == 1 || bits == 2 || bits == 4, bits);
  const int64_t bytes = (elements * bits + 7) / 8;
  ENCKE_CHECK(packed.elements() >= bytes, packed.elements(), " for ", bytes);
}

}  // namespace

void CudaBackend::PackMask(const Tensor& x, const Tensor& bits) {
  const int64_t n = x.elements();
  CheckPacked(n, 1, bits);
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    Each(stream_.get(), (n + 7) / 8, PackMaskOp<T>{x.data<T>(), n, bits.data<uint8_t>()});
  });
}

void CudaBackend::ReluBackwardFromMask(const Tensor& bits, const Tensor& dy, const Tensor& dx) {
  CheckAlike(dy, dx);
  CheckPacked(dy.elements(), 1, bits);
  WithFloatType(dy.dtype(), [&](auto type) {
    using T = decltype(type);
    Map(stream_.get(), dy.elements(), MaskedGradientOp{bits.data<uint8_t>()}, dx.data<T>(),
        dy.data<T>());
  });
}

void CudaBackend::PackBits(const Tensor& x, int bits, const Tensor& packed) {
  const int64_t n = x.elements();
  CheckPacked(n, bits, packed);
  Each(stream_.get(), (n * bits + 7) / 8,
       PackBitsOp{x.data<uint8_t>(), n, bits, packed.data<uint8_t>()});
}

void CudaBackend::UnpackBits(const Tensor& packed, int bits, const Tensor& x) {
  CheckPacked(x.elements(), bits, packed);
  Each(stream_.get(), x.elements(), UnpackBitsOp{packed.data<uint8_t>(), bits, x.data<uint8_t>()});
}

}  // namespace encke::cuda
