// Average pooling, threads over rows of pixels and vectors along channels. Backward gathers, as max
// pooling does.
#include <algorithm>

#include "engine/backend/cpu/cpu_backend.h"
#include "engine/backend/cpu/pool_window.h"
#include "engine/backend/cpu/simd.h"
#include "engine/core/error.h"

namespace encke::cpu {
namespace {

// Pixels that the window of output p counts along one axis: those inside the input, or with
// `padded` also those in the padding, which reaches `pad` beyond either end.
int64_t Counted(const PoolAxis& axis, int64_t p, bool padded) {
  const Span inside = axis.Inputs(p);
  if (!padded) return inside.end - inside.begin;
  return std::min(axis.Start(p) + axis.kernel, axis.input + axis.pad) - axis.Start(p);
}

float InverseDivisor(const PoolGeometry& g, bool padded, int64_t p, int64_t q) {
  return 1.0f / static_cast<float>(Counted(g.h, p, padded) * Counted(g.w, q, padded));
}

template <typename T>
ENCKE_INLINE inline void AddScaled(const T* x, float scale, int64_t count, float* sum) {
#pragma omp simd
  for (int64_t c = 0; c < count; ++c) sum[c] += scale * Widen(x[c]);
}

template <typename T>
ENCKE_INLINE inline void StoreScaled(const float* sum, float scale, int64_t count, T* out) {
#pragma omp simd
  for (int64_t c = 0; c < count; ++c) out[c] = Narrow<T>(scale * sum[c]);
}

}  // namespace

void CpuBackend::AveragePoolForward(const PoolOptions& options, const Tensor& x, const Tensor& y) {
  ENCKE_CHECK(x.dtype() == y.dtype(), NameOf(x.dtype()));
  const PoolGeometry g(options, x.shape(), y.shape());
  const bool padded = options.count_include_pad;
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    const T* from = Elements<T>(x);
    T* to = Elements<T>(y);
    const int64_t work = g.w.output * g.c * g.h.kernel * g.w.kernel;
    ParallelSimd(g.n * g.h.output, RowGrain(work), [=](int64_t begin, int64_t end) ENCKE_INLINE {
      alignas(64) float sum[kPoolLanes];
      for (int64_t at = begin * g.w.output; at < end * g.w.output; ++at) {
        const int64_t q = at % g.w.output, p = at / g.w.output % g.h.output;
        const T* sample = from + at / g.w.output / g.h.output * g.h.input * g.w.input * g.c;
        const Span rows = g.h.Inputs(p), columns = g.w.Inputs(q);
        const float scale = InverseDivisor(g, padded, p, q);
        ForEachRun(g.c, [&](int64_t c, auto count) ENCKE_INLINE {
          std::fill(sum, sum + kPoolLanes, 0.0f);
          for (int64_t i = rows.begin; i < rows.end; ++i) {
            for (int64_t j = columns.begin; j < columns.end; ++j)
              AddScaled(sample + (i * g.w.input + j) * g.c + c, 1.0f, count, sum);
          }
          StoreScaled(sum, scale, count, to + at * g.c + c);
        });
      }
    });
  });
}

void CpuBackend::AveragePoolBackward(const PoolOptions& options, const Tensor& dy,
                                     const Tensor& dx) {
  ENCKE_CHECK(dx.dtype() == dy.dtype(), NameOf(dx.dtype()));
  const PoolGeometry g(options, dx.shape(), dy.shape());
  const bool padded = options.count_include_pad;
  WithFloatType(dy.dtype(), [&](auto type) {
    using T = decltype(type);
    const T* from = Elements<T>(dy);
    T* to = Elements<T>(dx);
    const int64_t work = g.w.input * g.c * 4;
    ParallelSimd(g.n * g.h.input, RowGrain(work), [=](int64_t begin, int64_t end) ENCKE_INLINE {
      alignas(64) float sum[kPoolLanes];
      for (int64_t at = begin * g.w.input; at < end * g.w.input; ++at) {
        const int64_t j = at % g.w.input, i = at / g.w.input % g.h.input;
        const T* sample = from + at / g.w.input / g.h.input * g.h.output * g.w.output * g.c;
        const Span rows = g.h.Outputs(i), columns = g.w.Outputs(j);
        ForEachRun(g.c, [&](int64_t c, auto count) ENCKE_INLINE {
          std::fill(sum, sum + kPoolLanes, 0.0f);
          for (int64_t p = rows.begin; p < rows.end; ++p) {
            for (int64_t q = columns.begin; q < columns.end; ++q) {
              AddScaled(sample + (p * g.w.output + q) * g.c + c, InverseDivisor(g, padded, p, q),
                        count, sum);
            }
          }
          StoreScaled(sum, 1.0f, count, to + at * g.c + c);
        });
      }
    });
  });
}

}  // namespace encke::cpu
