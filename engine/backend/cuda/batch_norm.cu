// Batch norm in parts, and sums over rows.
#include "engine/backend/cuda/cuda_backend.h"
#include "engine/backend/cuda/kernels.cuh"
#include "engine/backend/cuda/norm_ops.h"

namespace encke::cuda {
namespace {

int64_t RowsOf(const Tensor& x) { return x.shape().n * x.shape().h * x.shape().w; }

void CheckChannels(const Tensor& x, int64_t per_channel, std::initializer_list<const Tensor*> all) {
  for (const Tensor* vector : all) {
    ENCKE_CHECK(vector->elements() == per_channel * x.shape().c, vector->elements(), " for ",
                x.shape().c);
  }
}

}  // namespace

double* CudaBackend::PartialSumsFor(int64_t channels) {
  partial_sums_.Reserve(PartialSums(channels) * static_cast<int64_t>(sizeof(double)));
  return partial_sums_.At<double>(0);
}

void CudaBackend::BatchNormForward(float epsilon, float momentum, const Tensor& x,
                                   const Tensor& gamma, const Tensor& beta, const Tensor& y,
                                   const Tensor& mean, const Tensor& inv_std,
                                   const Tensor& running_mean, const Tensor& running_variance) {
  const Tensor moments =
      Tensor::Empty(allocator_, {1, 1, 3, x.shape().c}, DType::F32, MemoryCategory::WORKSPACE);
  BatchNormMoments(x, moments, false);
  BatchNormStatistics(epsilon, momentum, moments, mean, inv_std, running_mean, running_variance);
  BatchNormApply(x, mean, inv_std, gamma, beta, false, y);
}

void CudaBackend::BatchNormBackward(const Tensor& x, const Tensor& gamma, const Tensor& mean,
                                    const Tensor& inv_std, const Tensor& dy, const Tensor& dx,
                                    const Tensor& dgamma, const Tensor& dbeta, bool accumulate) {
  const Tensor sums =
      Tensor::Empty(allocator_, {1, 1, 2, x.shape().c}, DType::F32, MemoryCategory::WORKSPACE);
  BatchNormBackwardSums(x, Tensor(), mean, inv_std, dy, sums, false);
  BatchNormBackwardApply(x, Tensor(), mean, inv_std, gamma, sums, RowsOf(x), dy, dx);
  BatchNormParameterGradients(sums, dgamma, dbeta, accumulate);
}

void CudaBackend::BatchNormMoments(const Tensor& x, const Tensor& moments, bool accumulate) {
  CheckChannels(x, 3, {&moments});
  const int64_t rows = RowsOf(x), channels = x.shape().c;
  ENCKE_CHECK(rows > 0, x.shape().ToString());
  WithFloatType(x.dtype(), [&](auto type) {
    ChannelSums(stream_.get(), rows, channels, MomentTerms(),
                MomentFinish{rows, channels, accumulate, moments.data<float>()},
                PartialSumsFor(channels), x.data<decltype(type)>());
  });
}

void CudaBackend::BatchNormStatistics(float epsilon, float momentum, const Tensor& moments,
                                      const Tensor& mean, const Tensor& inv_std,
                                      const Tensor& running_mean, const Tensor& running_variance) {
  const int64_t channels = mean.elements();
  ENCKE_CHECK(moments.elements() == 3 * channels, moments.elements(), " for ", channels);
  Each(stream_.get(), channels,
       StatisticsOp{epsilon, momentum, channels, moments.data<float>(), mean.data<float>(),
                    inv_std.data<float>(), running_mean.data<float>(),
                    running_variance.data<float>()});
}

void CudaBackend::BatchNormApply(const Tensor& x, const Tensor& mean, const Tensor& inv_std,
                                 const Tensor& gamma, const Tensor& beta, bool relu,
                                 const Tensor& y) {
  CheckAlike(x, y);
  CheckChannels(x, 1, {&mean, &inv_std, &gamma, &beta});
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    ChannelMap(stream_.get(), RowsOf(x), x.shape().c,
               NormApplyMap{mean.data<float>(), inv_std.data<float>(), gamma.data<float>(),
                            beta.data<float>(), relu},
               y.data<T>(), x.data<T>());
  });
}

void CudaBackend::BatchNormInference(float epsilon, const Tensor& x, const Tensor& gamma,
                                     const Tensor& beta, const Tensor& mean, const Tensor& variance,
                                     const Tensor& y) {
  CheckAlike(x, y);
  CheckChannels(x, 1, {&mean, &variance, &gamma, &beta});
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    ChannelMap(stream_.get(), RowsOf(x), x.shape().c,
               NormInferenceMap{epsilon, mean.data<float>(), variance.data<float>(),
                                gamma.data<float>(), beta.data<float>()},
               y.data<T>(), x.data<T>());
  });
}

void CudaBackend::BatchNormBackwardSums(const Tensor& x, const Tensor& y, const Tensor& mean,
                                        const Tensor& inv_std, const Tensor& dy, const Tensor& sums,
                                        bool accumulate) {
  CheckAlike(x, dy);
  if (y.defined()) CheckAlike(x, y);
  CheckChannels(x, 1, {&mean, &inv_std});
  CheckChannels(x, 2, {&sums});
  const int64_t rows = RowsOf(x), channels = x.shape().c;
  const NormGradientTerms terms = {mean.data<float>(), inv_std.data<float>()};
  const SumsFinish finish = {channels, accumulate, sums.data<float>()};
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    const auto sum = [&](const auto*... inputs) {
      ChannelSums(stream_.get(), rows, channels, terms, finish, PartialSumsFor(channels),
                  inputs...);
    };
    const T *px = x.data<T>(), *pdy = dy.data<T>();
    if (y.defined()) {
      sum(px, pdy, static_cast<const T*>(y.data<T>()));
    } else {
      sum(px, pdy);
    }
  });
}

void CudaBackend::BatchNormBackwardApply(const Tensor& x, const Tensor& y, const Tensor& mean,
                                         const Tensor& inv_std, const Tensor& gamma,
                                         const Tensor& sums, int64_t count, const Tensor& dy,
                                         const Tensor& dx) {
  CheckAlike(x, dy);
  CheckAlike(dy, dx);
  if (y.defined()) CheckAlike(x, y);
  CheckChannels(x, 1, {&mean, &inv_std, &gamma});
  CheckChannels(x, 2, {&sums});
  const NormGradientMap map = {x.shape().c,         static_cast<double>(count),
                               mean.data<float>(),  inv_std.data<float>(),
                               gamma.data<float>(), sums.data<float>()};
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    const auto apply = [&](const auto*... inputs) {
      ChannelMap(stream_.get(), RowsOf(x), x.shape().c, map, dx.data<T>(), inputs...);
    };
    const T *px = x.data<T>(), *pdy = dy.data<T>();
    if (y.defined()) {
      apply(px, pdy, static_cast<const T*>(y.data<T>()));
    } else {
      apply(px, pdy);
    }
  });
}

void CudaBackend::BatchNormParameterGradients(const Tensor& sums, const Tensor& dgamma,
                                              const Tensor& dbeta, bool accumulate) {
  const int64_t channels = dgamma.elements();
  ENCKE_CHECK(sums.elements() == 2 * channels && dbeta.elements() == channels, sums.elements());
  Each(stream_.get(), channels,
       NormParameterGradientOp{channels, accumulate, sums.data<float>(), dgamma.data<float>(),
                               dbeta.data<float>()});
}

void CudaBackend::SumRows(const Tensor& dy, const Tensor& sum, bool accumulate) {
  CheckChannels(dy, 1, {&sum});
  const int64_t channels = dy.shape().c;
  WithFloatType(dy.dtype(), [&](auto type) {
    ChannelSums(stream_.get(), RowsOf(dy), channels, RowTerms(),
                RowFinish{accumulate, sum.data<float>()}, PartialSumsFor(channels),
                static_cast<const decltype(type)*>(dy.data<decltype(type)>()));
  });
}

}  // namespace encke::cuda
