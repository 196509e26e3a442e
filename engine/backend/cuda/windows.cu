// Pooling, local response normalisation, and convolution where cuDNN has none.
#include <algorithm>
#include <type_traits>

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

// Of one pool, samples that 32 bits can count the elements of.
struct PoolPart {
  PoolGeometry geometry;
  Tensor x, y, index;  // or their gradients; index may be undefined

  uint8_t* places() const { return index.defined() ? index.data<uint8_t>() : nullptr; }
};

template <typename F>
void ForEachPart(const PoolOptions& options, const Tensor& x, const Tensor& y, const Tensor& index,
                 const F& f) {
  ENCKE_CHECK(x.dtype() == y.dtype(), NameOf(x.dtype()));
  const int64_t sample = std::max(x.shape().sample(), y.shape().sample());
  ENCKE_CHECK(0 < sample && sample <= INT32_MAX, x.shape().ToString());
  const int64_t batch = x.shape().n, most = INT32_MAX / sample;
  for (int64_t first = 0; first < batch; first += most) {
    const int64_t n = std::min(most, batch - first);
    PoolPart part = {PoolGeometry(options, x.shape().WithBatch(n), y.shape().WithBatch(n)),
                     x.Slice(first, n), y.Slice(first, n), Tensor()};
    if (index.defined()) part.index = index.Slice(first, n);
    f(part);
  }
}

// Calls f(N), an integral constant: channels that a thread takes.
template <typename T, typename F>
void WithPack(const PoolPart& part, const F& f) {
  constexpr int kPack = PackSize<T>();
  const bool fits = PacksFit<kPack>(part.x.data<T>(), part.y.data<T>(), part.places());
  if (fits && part.geometry.c % kPack == 0) {
    f(std::integral_constant<int, kPack>());
  } else {
    f(std::integral_constant<int, 1>());
  }
}

// Calls f(part, T(), N) for each part of a pool.
template <typename F>
void RunPool(const PoolOptions& options, const Tensor& x, const Tensor& y, const Tensor& index,
             const F& f) {
  ForEachPart(options, x, y, index, [&](const PoolPart& part) {
    WithFloatType(x.dtype(), [&](auto type) {
      WithPack<decltype(type)>(part, [&](auto n) { f(part, type, n); });
    });
  });
}

}  // namespace

void CudaBackend::MaxPoolForward(const PoolOptions& options, const Tensor& x, const Tensor& y,
                                 const Tensor& index) {
  ENCKE_CHECK(options.kernel_h * options.kernel_w <= 256, options.kernel_h, "x", options.kernel_w);
  if (index.defined()) CheckSameShape(y, index);
  RunPool(options, x, y, index, [&](const PoolPart& part, auto type, auto n) {
    using T = decltype(type);
    Each(stream_.get(), part.y.elements() / n,
         MaxPoolOp<T, n>(part.geometry, part.x.data<T>(), part.y.data<T>(), part.places()));
  });
}

void CudaBackend::MaxPoolBackward(const PoolOptions& options, const Tensor& index, const Tensor& dy,
                                  const Tensor& dx) {
  CheckSameShape(index, dy);
  RunPool(options, dx, dy, index, [&](const PoolPart& part, auto type, auto n) {
    using T = decltype(type);
    Each(stream_.get(), part.x.elements() / n,
         MaxPoolGradientOp<T, n>(part.geometry, part.places(), part.y.data<T>(), part.x.data<T>()));
  });
}

void CudaBackend::AveragePoolForward(const PoolOptions& options, const Tensor& x, const Tensor& y) {
  RunPool(options, x, y, Tensor(), [&](const PoolPart& part, auto type, auto n) {
    using T = decltype(type);
    Each(stream_.get(), part.y.elements() / n,
         AveragePoolOp<T, n>(part.geometry, options.count_include_pad, part.x.data<T>(),
                             part.y.data<T>()));
  });
}

void CudaBackend::AveragePoolBackward(const PoolOptions& options, const Tensor& dy,
                                      const Tensor& dx) {
  RunPool(options, dx, dy, Tensor(), [&](const PoolPart& part, auto type, auto n) {
    using T = decltype(type);
    Each(stream_.get(), part.x.elements() / n,
         AveragePoolGradientOp<T, n>(part.geometry, options.count_include_pad, part.y.data<T>(),
                                     part.x.data<T>()));
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
