// Softmax and cross-entropy over the channels of [N,1,1,C], a warp a sample.
#include <vector>

#include "engine/backend/cuda/cuda_backend.h"
#include "engine/backend/cuda/kernels.cuh"
#include "engine/backend/labels.h"

namespace encke::cuda {
namespace {

constexpr int kLanes = 32;

// The largest over a warp; a NaN stays.
__device__ float WarpMax(float value) {
  for (int step = kLanes / 2; step > 0; step /= 2) {
    const float other = __shfl_xor_sync(0xffffffffu, value, step);
    value = other > value || other != other ? other : value;
  }
  return value;
}

// As SoftmaxRow of the CPU backend: loss = highest + log(sum exp) - target.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    SoftmaxKernel(int64_t samples, int64_t classes, float smoothing, const T* all_logits,
                  const int32_t* labels, float* all_probabilities, float* loss) {
  const int64_t n = static_cast<int64_t>(blockIdx.x) * (kThreads / kLanes) + threadIdx.x / kLanes;
  if (n >= samples) return;
  const int lane = threadIdx.x % kLanes;
  const T* logits = all_logits + n * classes;
  float* probabilities = all_probabilities + n * classes;

  float highest = -INFINITY;
  double logit_sum = 0.0;
  for (int64_t c = lane; c < classes; c += kLanes) {
    const float logit = Widen(logits[c]);
    highest = logit > highest || logit != logit ? logit : highest;
    logit_sum += logit;
  }
  highest = WarpMax(highest);
  logit_sum = WarpSum(logit_sum);

  double sum = 0.0;
  for (int64_t c = lane; c < classes; c += kLanes) {
    probabilities[c] = expf(Widen(logits[c]) - highest);
    sum += probabilities[c];
  }
  sum = WarpSum(sum);
  const float scale = static_cast<float>(1.0 / sum);
  for (int64_t c = lane; c < classes; c += kLanes) probabilities[c] *= scale;
  if (lane != 0) return;
  const double target = (1.0 - smoothing) * Widen(logits[labels[n]]) +
                        smoothing * logit_sum / static_cast<double>(classes);
  loss[n] = static_cast<float>(highest + log(sum) - target);
}

template <typename T>
struct SoftmaxGradientOp {
  int64_t classes;
  float smoothing, scale;
  const float* probabilities;
  const int32_t* labels;
  T* dlogits;
  ENCKE_HOST_DEVICE void operator()(int64_t i) const {
    const int64_t n = Divide(i, classes), c = i - n * classes;
    const float everywhere = smoothing / static_cast<float>(classes);
    const float own = labels[n] == c ? 1.0f - smoothing : 0.0f;
    dlogits[i] = Narrow<T>(scale * (probabilities[i] - everywhere - own));
  }
};

}  // namespace

void CudaBackend::SoftmaxCrossEntropyForward(const Tensor& logits, const Tensor& labels,
                                             float smoothing, const Tensor& probabilities,
                                             const Tensor& loss) {
  CheckSameShape(logits, probabilities);
  const int64_t samples = logits.shape().n, classes = logits.shape().sample();
  ENCKE_CHECK(loss.elements() == samples, loss.elements(), " for ", samples);
  std::vector<int32_t> host_labels(labels.elements());
  CopyToHost(labels, host_labels.data());
  CheckLabels(host_labels.data(), labels.elements(), samples, classes);
  WithFloatType(logits.dtype(), [&](auto type) {
    using T = decltype(type);
    SoftmaxKernel<<<BlocksFor(samples, kThreads / kLanes), kThreads, 0, stream_.get()>>>(
        samples, classes, smoothing, static_cast<const T*>(logits.data<T>()),
        static_cast<const int32_t*>(labels.data<int32_t>()), probabilities.data<float>(),
        loss.data<float>());
  });
  ENCKE_CUDA(cudaGetLastError());
}

void CudaBackend::SoftmaxCrossEntropyBackward(const Tensor& probabilities, const Tensor& labels,
                                              float smoothing, float scale, const Tensor& dlogits) {
  CheckSameShape(probabilities, dlogits);
  const int64_t samples = dlogits.shape().n, classes = dlogits.shape().sample();
  ENCKE_CHECK(labels.elements() == samples, labels.elements(), " for ", samples);
  WithFloatType(dlogits.dtype(), [&](auto type) {
    using T = decltype(type);
    Each(stream_.get(), dlogits.elements(),
         SoftmaxGradientOp<T>{classes, smoothing, scale, probabilities.data<float>(),
                              labels.data<int32_t>(), dlogits.data<T>()});
  });
}

}  // namespace encke::cuda
