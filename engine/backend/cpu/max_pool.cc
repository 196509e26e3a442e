// Max pooling. Threads share rows of pixels, vectors run along channels. Backward gathers: each
// input pixel looks at the windows that hold it, so nothing is written twice and the order of sums
// is fixed.
#include <algorithm>

#include "engine/backend/cpu/cpu_backend.h"
#include "engine/backend/cpu/pool_window.h"
#include "engine/backend/cpu/simd.h"
#include "engine/core/error.h"

namespace encke::cpu {
namespace {

// The best of up to kPoolLanes channels in one window and its place there.
struct Winners {
  float value[kPoolLanes];
  int32_t place[kPoolLanes];

  template <typename T>
  ENCKE_INLINE void Start(const T* x, int32_t at, int64_t count) {
#pragma omp simd
    for (int64_t c = 0; c < count; ++c) {
      value[c] = Widen(x[c]);
      place[c] = at;
    }
  }

  // Takes x where it is greater, or the first NaN.
  template <typename T>
  ENCKE_INLINE void Meet(const T* x, int32_t at, int64_t count) {
#pragma omp simd
    for (int64_t c = 0; c < count; ++c) {
      const float v = Widen(x[c]), best = value[c];
      const bool take = !(v <= best) & (best == best);
      value[c] = take ? v : best;
      place[c] = take ? at : place[c];
    }
  }

  template <typename T>
  ENCKE_INLINE void Store(T* y, uint8_t* index, int64_t count) const {
#pragma omp simd
    for (int64_t c = 0; c < count; ++c) y[c] = Narrow<T>(value[c]);
    if (index == nullptr) return;
#pragma omp simd
    for (int64_t c = 0; c < count; ++c) index[c] = static_cast<uint8_t>(place[c]);
  }
};

// One window for `count` channels. x is the first of them in pixel (0, 0) of the sample.
template <typename T>
ENCKE_INLINE inline void PoolWindow(const PoolGeometry& g, const T* x, int64_t p, int64_t q,
                                    int64_t count, T* y, uint8_t* index) {
  const Span rows = g.h.Inputs(p), columns = g.w.Inputs(q);
  const int64_t top = g.h.Start(p), left = g.w.Start(q);
  Winners winners;
  for (int64_t i = rows.begin; i < rows.end; ++i) {
    for (int64_t j = columns.begin; j < columns.end; ++j) {
      const int32_t place = static_cast<int32_t>((i - top) * g.w.kernel + (j - left));
      const T* pixel = x + (i * g.w.input + j) * g.c;
      if (i == rows.begin && j == columns.begin) {
        winners.Start(pixel, place, count);
      } else {
        winners.Meet(pixel, place, count);
      }
    }
  }
  winners.Store(y, index, count);
}

// Sums into `sum` what the windows around input pixel (i, j) send it, for `count` channels. dy and
// index point to the first of them in output pixel (0, 0) of the sample.
template <typename T>
ENCKE_INLINE inline void GatherGradient(const PoolGeometry& g, const T* dy, const uint8_t* index,
                                        int64_t i, int64_t j, int64_t count, float* sum) {
  const Span rows = g.h.Outputs(i), columns = g.w.Outputs(j);
  std::fill(sum, sum + count, 0.0f);
  for (int64_t p = rows.begin; p < rows.end; ++p) {
    for (int64_t q = columns.begin; q < columns.end; ++q) {
      const int64_t at = (p * g.w.output + q) * g.c;
      const uint8_t place =
          static_cast<uint8_t>((i - g.h.Start(p)) * g.w.kernel + (j - g.w.Start(q)));
#pragma omp simd
      for (int64_t c = 0; c < count; ++c) {
        const float gradient = Widen(dy[at + c]);
        sum[c] += index[at + c] == place ? gradient : 0.0f;
      }
    }
  }
}

}  // namespace

void CpuBackend::MaxPoolForward(const PoolOptions& options, const Tensor& x, const Tensor& y,
                                const Tensor& index) {
  ENCKE_CHECK(options.kernel_h * options.kernel_w <= 256, options.kernel_h, "x", options.kernel_w);
  ENCKE_CHECK(x.dtype() == y.dtype(), NameOf(x.dtype()));
  const PoolGeometry g(options, x.shape(), y.shape());
  if (index.defined()) CheckSameShape(y, index);
  uint8_t* places = index.defined() ? index.data<uint8_t>() : nullptr;
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    const T* from = Elements<T>(x);
    T* to = Elements<T>(y);
    const int64_t work = g.w.output * g.c * g.h.kernel * g.w.kernel;
    ParallelSimd(g.n * g.h.output, RowGrain(work), [=](int64_t begin, int64_t end) ENCKE_INLINE {
      for (int64_t row = begin; row < end; ++row) {
        const int64_t sample = row / g.h.output, p = row % g.h.output;
        const T* px = from + sample * g.h.input * g.w.input * g.c;
        for (int64_t q = 0; q < g.w.output; ++q) {
          const int64_t at = (row * g.w.output + q) * g.c;
          ForEachRun(g.c, [&](int64_t c, auto count) ENCKE_INLINE {
            PoolWindow(g, px + c, p, q, count, to + at + c,
                       places == nullptr ? nullptr : places + at + c);
          });
        }
      }
    });
  });
}

void CpuBackend::MaxPoolBackward(const PoolOptions& options, const Tensor& index, const Tensor& dy,
                                 const Tensor& dx) {
  CheckSameShape(index, dy);
  ENCKE_CHECK(dx.dtype() == dy.dtype(), NameOf(dx.dtype()));
  const PoolGeometry g(options, dx.shape(), dy.shape());
  const uint8_t* places = index.data<uint8_t>();
  WithFloatType(dy.dtype(), [&](auto type) {
    using T = decltype(type);
    const T* from = Elements<T>(dy);
    T* to = Elements<T>(dx);
    const int64_t work = g.w.input * g.c * 4;
    ParallelSimd(g.n * g.h.input, RowGrain(work), [=](int64_t begin, int64_t end) ENCKE_INLINE {
      alignas(64) float sum[kPoolLanes];
      for (int64_t row = begin; row < end; ++row) {
        const int64_t sample = row / g.h.input, i = row % g.h.input;
        const int64_t first = sample * g.h.output * g.w.output * g.c;
        for (int64_t j = 0; j < g.w.input; ++j) {
          ForEachRun(g.c, [&](int64_t c, auto count) ENCKE_INLINE {
            GatherGradient(g, from + first + c, places + first + c, i, j, count, sum);
            T* out = to + (row * g.w.input + j) * g.c + c;
#pragma omp simd
            for (int64_t k = 0; k < count; ++k) out[k] = Narrow<T>(sum[k]);
          });
        }
      }
    });
  });
}

}  // namespace encke::cpu
