// Pooling, local response normalisation, and convolution where cuDNN has none.
#include "engine/backend/cuda/conv_ops.h"
#include "engine/backend/cuda/cuda_backend.h"
#include "engine/backend/cuda/kernels.cuh"
#include "engine/backend/cuda/lrn_ops.h"
#include "engine/backend/cuda/pool_ops.h"

namespace encke::cuda {
namespace {

template <typename T>
PlaceImageOp<T> Placement(const ConvProblem& problem, const void* from, void* to, bool crop) {
  const Shape small = problem.x, large = problem.AsCudnnTakesIt().x;
  return {small.h,
          small.w,
          small.c,
          problem.options.pad_top,
          problem.options.pad_left,
          large.h,
          large.w,
          static_cast<const T*>(from),
          static_cast<T*>(to),
          crop};
}

}  // namespace

void CudaBackend::MaxPoolForward(const PoolOptions& options, const Tensor& x, const Tensor& y,
                                 const Tensor& index) {
  ENCKE_CHECK(options.kernel_h * options.kernel_w <= 256, options.kernel_h, "x", options.kernel_w);
  ENCKE_CHECK(x.dtype() == y.dtype(), NameOf(x.dtype()));
  if (index.defined()) CheckSameShape(y, index);
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    Each(stream_.get(), y.elements(),
         MaxPoolOp<T>{PoolGeometry(options, x.shape(), y.shape()), x.data<T>(), y.data<T>(),
                      index.defined() ? index.data<uint8_t>() : nullptr});
  });
}

void CudaBackend::MaxPoolBackward(const PoolOptions& options, const Tensor& index, const Tensor& dy,
                                  const Tensor& dx) {
  CheckSameShape(index, dy);
  ENCKE_CHECK(dx.dtype() == dy.dtype(), NameOf(dx.dtype()));
  WithFloatType(dy.dtype(), [&](auto type) {
    using T = decltype(type);
    Each(stream_.get(), dx.elements(),
         MaxPoolGradientOp<T>{PoolGeometry(options, dx.shape(), dy.shape()), index.data<uint8_t>(),
                              dy.data<T>(), dx.data<T>()});
  });
}

void CudaBackend::AveragePoolForward(const PoolOptions& options, const Tensor& x, const Tensor& y) {
  ENCKE_CHECK(x.dtype() == y.dtype(), NameOf(x.dtype()));
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    Each(stream_.get(), y.elements(),
         AveragePoolOp<T>{PoolGeometry(options, x.shape(), y.shape()), options.count_include_pad,
                          x.data<T>(), y.data<T>()});
  });
}

void CudaBackend::AveragePoolBackward(const PoolOptions& options, const Tensor& dy,
                                      const Tensor& dx) {
  ENCKE_CHECK(dx.dtype() == dy.dtype(), NameOf(dx.dtype()));
  WithFloatType(dy.dtype(), [&](auto type) {
    using T = decltype(type);
    Each(stream_.get(), dx.elements(),
         AveragePoolGradientOp<T>{PoolGeometry(options, dx.shape(), dy.shape()),
                                  options.count_include_pad, dy.data<T>(), dx.data<T>()});
  });
}

void CudaBackend::LrnForward(const LrnOptions& options, const Tensor& x, const Tensor& y) {
  CheckAlike(x, y);
  ENCKE_CHECK(x.raw() != y.raw(), "in place");
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    Each(stream_.get(), x.elements(), LrnOp<T>{options, x.shape().c, x.data<T>(), y.data<T>()});
  });
}

void CudaBackend::LrnBackward(const LrnOptions& options, const Tensor& x, const Tensor& dy,
                              const Tensor& dx) {
  CheckAlike(x, dy);
  CheckAlike(x, dx);
  ENCKE_CHECK(dy.raw() != dx.raw(), "in place");
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    Each(stream_.get(), x.elements(),
         LrnGradientOp<T>{options, x.shape().c, x.data<T>(), dy.data<T>(), dx.data<T>()});
  });
}

void CudaBackend::PadImage(const ConvProblem& problem, const void* x, void* padded) {
  const int64_t bytes = problem.AsCudnnTakesIt().x.elements() * SizeOf(problem.dtype);
  ENCKE_CUDA(cudaMemsetAsync(padded, 0, bytes, stream_.get()));
  WithFloatType(problem.dtype, [&](auto type) {
    Each(stream_.get(), problem.x.elements(),
         Placement<decltype(type)>(problem, x, padded, /*crop=*/false));
  });
}

void CudaBackend::CropImage(const ConvProblem& problem, const void* padded, void* x) {
  WithFloatType(problem.dtype, [&](auto type) {
    Each(stream_.get(), problem.x.elements(),
         Placement<decltype(type)>(problem, padded, x, /*crop=*/true));
  });
}

void CudaBackend::RunDirect(const ConvProblem& problem, const ConvOperands& operands,
                            bool accumulate) {
  const DirectConv conv = {problem.options, problem.x, problem.y};
  WithFloatType(problem.dtype, [&](auto type) {
    using T = decltype(type);
    auto* x = static_cast<T*>(const_cast<void*>(operands.x));
    auto* w = static_cast<float*>(const_cast<void*>(operands.w));
    auto* y = static_cast<T*>(const_cast<void*>(operands.y));
    switch (problem.kind) {
      case ConvKind::FORWARD:
        return Each(stream_.get(), problem.y.elements(), DirectForwardOp<T>{conv, x, w, y});
      case ConvKind::BACKWARD_DATA:
        return Each(stream_.get(), problem.x.elements(), DirectBackwardDataOp<T>{conv, y, w, x});
      case ConvKind::BACKWARD_FILTER:
        return Each(stream_.get(), problem.filter().elements(),
                    DirectBackwardFilterOp<T>{conv, x, y, w, accumulate});
    }
  });
}

}  // namespace encke::cuda
