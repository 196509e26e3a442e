// Parameter updates, each one pass over the parameter.
#include "engine/backend/cpu/cpu_backend.h"
#include "engine/backend/cpu/simd.h"
#include "engine/core/error.h"

namespace encke::cpu {

void CpuBackend::SgdStep(const SgdOptions& options, const Tensor& w, const Tensor& dw,
                         const Tensor& velocity) {
  CheckSameShape(w, dw);
  float* pw = w.data<float>();
  const float* pg = dw.data<float>();
  const SgdOptions o = options;
  if (!velocity.defined()) {
    ENCKE_CHECK(o.momentum == 0.0f, o.momentum);
    ParallelSimd(w.elements(), kElementGrain, [=](int64_t begin, int64_t end) ENCKE_INLINE {
#pragma omp simd
      for (int64_t i = begin; i < end; ++i)
        pw[i] -= o.learning_rate * (o.gradient_scale * pg[i] + o.weight_decay * pw[i]);
    });
    return;
  }
  CheckSameShape(w, velocity);
  float* pv = velocity.data<float>();
  const float from_g = o.nesterov ? 1.0f : 0.0f, from_v = o.nesterov ? o.momentum : 1.0f;
  ParallelSimd(w.elements(), kElementGrain, [=](int64_t begin, int64_t end) ENCKE_INLINE {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) {
      const float g = o.gradient_scale * pg[i] + o.weight_decay * pw[i];
      const float v = o.momentum * pv[i] + g;
      pv[i] = v;
      pw[i] -= o.learning_rate * (from_g * g + from_v * v);
    }
  });
}

void CpuBackend::UpdateAverage(float decay, const Tensor& x, const Tensor& average) {
  CheckSameShape(x, average);
  const float* from = x.data<float>();
  float* to = average.data<float>();
  ParallelSimd(x.elements(), kElementGrain, [=](int64_t begin, int64_t end) ENCKE_INLINE {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) to[i] = decay * to[i] + (1.0f - decay) * from[i];
  });
}

}  // namespace encke::cpu
