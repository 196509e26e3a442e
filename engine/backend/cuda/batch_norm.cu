// Batch norm in parts, and sums over rows.
#include <type_traits>

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

NormGate GateOf(const NormChannels& norm, const Tensor& x, const Tensor& y, const Tensor& dy,
                const Tensor& sums) {
  CheckAlike(x, dy);
  if (y.defined()) CheckAlike(x, y);
  CheckChannels(x, 1, {&norm.mean, &norm.inv_std, &norm.gamma, &norm.beta});
  CheckChannels(x, 2, {&sums});
  return {norm.relu, norm.mean.data<float>(), norm.inv_std.data<float>(), norm.gamma.data<float>(),
          norm.beta.data<float>()};
}

// Calls f(x, dy), or f(x, dy, y) where a ReLU's output says what counts.
template <typename F>
void WithNormInputs(const NormChannels& norm, const Tensor& x, const Tensor& y, const Tensor& dy,
                    const F& f) {
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    const T *px = x.data<T>(), *pdy = dy.data<T>();
    if (norm.relu && y.defined()) {
      f(px, pdy, static_cast<const T*>(y.data<T>()));
    } else {
      f(px, pdy);
    }
  });
}

}  // namespace

double* CudaBackend::PartialSumsFor(int64_t channels) {
  partial_sums_.Reserve(PartialSums(channels) * static_cast<int64_t>(sizeof(double)));
  return partial_sums_.At<double>(0);
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

void CudaBackend::BatchNormApply(const NormChannels& norm, const Tensor& x, const Tensor& y) {
  CheckAlike(x, y);
  CheckChannels(x, 1, {&norm.mean, &norm.inv_std, &norm.gamma, &norm.beta});
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    ChannelMap(stream_.get(), RowsOf(x), x.shape().c,
               NormApplyMap{norm.mean.data<float>(), norm.inv_std.data<float>(),
                            norm.gamma.data<float>(), norm.beta.data<float>(), norm.relu},
               y.data<T>(), x.data<T>());
  });
}

void CudaBackend::BatchNormApplyAdd(const NormChannels& norm, const Tensor& x, const Tensor& addend,
                                    const Tensor& y) {
  CheckAlike(x, y);
  CheckAlike(x, addend);
  CheckChannels(x, 1, {&norm.mean, &norm.inv_std, &norm.gamma, &norm.beta});
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    const NormApplyMap apply = {norm.mean.data<float>(), norm.inv_std.data<float>(),
                                norm.gamma.data<float>(), norm.beta.data<float>(), false};
    ChannelMap(stream_.get(), RowsOf(x), x.shape().c, NormApplyAddMap<T>{apply, norm.relu},
               y.data<T>(), x.data<T>(), addend.data<T>());
  });
}

void CudaBackend::BatchNormInference(float epsilon, bool relu, const Tensor& x, const Tensor& gamma,
                                     const Tensor& beta, const Tensor& mean, const Tensor& variance,
                                     const Tensor& y) {
  CheckAlike(x, y);
  CheckChannels(x, 1, {&mean, &variance, &gamma, &beta});
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    ChannelMap(stream_.get(), RowsOf(x), x.shape().c,
               NormInferenceMap{epsilon, relu, mean.data<float>(), variance.data<float>(),
                                gamma.data<float>(), beta.data<float>()},
               y.data<T>(), x.data<T>());
  });
}

void CudaBackend::BatchNormInvert(const NormChannels& norm, const Tensor& sum,
                                  const Tensor& shortcut, const Tensor& x) {
  CheckAlike(sum, shortcut);
  CheckAlike(sum, x);
  CheckChannels(x, 1, {&norm.mean, &norm.inv_std, &norm.gamma, &norm.beta});
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    ChannelMap(stream_.get(), RowsOf(x), x.shape().c,
               NormInvertMap{norm.mean.data<float>(), norm.inv_std.data<float>(),
                             norm.gamma.data<float>(), norm.beta.data<float>()},
               x.data<T>(), sum.data<T>(), shortcut.data<T>());
  });
}

void CudaBackend::BatchNormBackwardSums(const NormChannels& norm, const Tensor& x, const Tensor& y,
                                        const Tensor& dy, const Tensor& sums, bool accumulate) {
  const NormGate gate = GateOf(norm, x, y, dy, sums);
  const int64_t rows = RowsOf(x), channels = x.shape().c;
  const NormGradientTerms terms = {gate};
  const SumsFinish finish = {channels, accumulate, sums.data<float>()};
  WithNormInputs(norm, x, y, dy, [&](const auto*... inputs) {
    ChannelSums(stream_.get(), rows, channels, terms, finish, PartialSumsFor(channels), inputs...);
  });
}

void CudaBackend::BatchNormBackwardApply(const NormChannels& norm, const Tensor& x, const Tensor& y,
                                         const Tensor& sums, int64_t count, const Tensor& dy,
                                         const Tensor& dx) {
  CheckAlike(dy, dx);
  const NormGate gate = GateOf(norm, x, y, dy, sums);
  const int64_t rows = RowsOf(x), channels = x.shape().c;
  const NormGradientMap map = {gate, channels, static_cast<double>(count), sums.data<float>()};
  WithNormInputs(norm, x, y, dy, [&](const auto* first, const auto*... others) {
    using T = std::decay_t<decltype(*first)>;
    ChannelMap(stream_.get(), rows, channels, map, dx.data<T>(), first, others...);
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
