// Softmax and cross-entropy over the channels of [N,1,1,C].
#include <algorithm>
#include <cmath>

#include "engine/backend/cpu/cpu_backend.h"
#include "engine/backend/cpu/simd.h"
#include "engine/backend/labels.h"
#include "engine/core/error.h"

namespace encke::cpu {
namespace {

// Loss of one sample: the cross-entropy of softmax(logits) against the smoothed target, which is
// log(sum exp) - (1 - s) * logit[label] - s * mean(logit). Writes the probabilities.
template <typename T>
float SoftmaxRow(const T* logits, int64_t classes, int32_t label, float smoothing,
                 float* probabilities) {
  float highest = Widen(logits[0]);
  double logit_sum = 0.0, sum = 0.0;
  for (int64_t c = 0; c < classes; ++c) {
    const float logit = Widen(logits[c]);
    highest = logit > highest || logit != logit ? logit : highest;
    logit_sum += logit;
  }
  for (int64_t c = 0; c < classes; ++c) {
    probabilities[c] = std::exp(Widen(logits[c]) - highest);
    sum += probabilities[c];
  }
  const float scale = static_cast<float>(1.0 / sum);
  for (int64_t c = 0; c < classes; ++c) probabilities[c] *= scale;
  const double target = (1.0 - smoothing) * Widen(logits[label]) +
                        smoothing * logit_sum / static_cast<double>(classes);
  return static_cast<float>(highest + std::log(sum) - target);
}

}  // namespace

void CpuBackend::SoftmaxCrossEntropyForward(const Tensor& logits, const Tensor& labels,
                                            float smoothing, const Tensor& probabilities,
                                            const Tensor& loss) {
  CheckSameShape(logits, probabilities);
  const int64_t samples = logits.shape().n, classes = logits.shape().sample();
  ENCKE_CHECK(loss.elements() == samples, loss.elements(), " for ", samples);
  const int32_t* label = labels.data<int32_t>();
  CheckLabels(label, labels.elements(), samples, classes);
  float* out = probabilities.data<float>();
  float* losses = loss.data<float>();
  WithFloatType(logits.dtype(), [&](auto type) {
    using T = decltype(type);
    const T* in = Elements<T>(logits);
    ParallelFor(samples, RowGrain(32 * classes), [=](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n) {
        losses[n] = SoftmaxRow(in + n * classes, classes, label[n], smoothing, out + n * classes);
      }
    });
  });
}

void CpuBackend::SoftmaxCrossEntropyBackward(const Tensor& probabilities, const Tensor& labels,
                                             float smoothing, float scale, const Tensor& dlogits) {
  CheckSameShape(probabilities, dlogits);
  const int64_t samples = dlogits.shape().n, classes = dlogits.shape().sample();
  const int32_t* label = labels.data<int32_t>();
  CheckLabels(label, labels.elements(), samples, classes);
  const float* in = probabilities.data<float>();
  const float everywhere = smoothing / static_cast<float>(classes);
  WithFloatType(dlogits.dtype(), [&](auto type) {
    using T = decltype(type);
    T* out = Elements<T>(dlogits);
    ParallelSimd(samples, RowGrain(classes), [=](int64_t begin, int64_t end) ENCKE_INLINE {
      for (int64_t n = begin; n < end; ++n) {
        const float* p = in + n * classes;
        T* d = out + n * classes;
#pragma omp simd
        for (int64_t c = 0; c < classes; ++c) d[c] = Narrow<T>(scale * (p[c] - everywhere));
        const int32_t l = label[n];
        d[l] = Narrow<T>(scale * (p[l] - everywhere - (1.0f - smoothing)));
      }
    });
  });
}

}  // namespace encke::cpu
