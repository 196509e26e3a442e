// Local response normalisation across channels.
//
//   s_c = k + alpha / size * sum of x_j^2 over j in [c - size/2, c + (size-1)/2]
//   y_c = x_c * s_c^-beta
//   dx_c = dy_c * s_c^-beta - 2 alpha beta / size * x_c * sum of dy_j x_j s_j^(-beta-1)
//          over those j whose window holds c
//
// The scale is computed again in backward. Threads share pixels; vectors run along channels.
#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/backend/cpu/cpu_backend.h"
#include "engine/backend/cpu/simd.h"
#include "engine/core/error.h"

namespace encke::cpu {
namespace {

// A row of channels with `below` zeros in front and `above` behind, so that windows need no edges.
class PaddedRow {
 public:
  PaddedRow(int64_t channels, int64_t below, int64_t above)
      : values_(below + channels + above, 0.0f), below_(below) {}
  float* channel(int64_t c) { return values_.data() + below_ + c; }

 private:
  std::vector<float> values_;
  int64_t below_;
};

// out[c] = sum of row[c - below] to row[c + above].
ENCKE_INLINE inline void WindowSums(const float* row, int64_t channels, int64_t below,
                                    int64_t above, float* out) {
  std::fill(out, out + channels, 0.0f);
  for (int64_t offset = -below; offset <= above; ++offset) {
#pragma omp simd
    for (int64_t c = 0; c < channels; ++c) out[c] += row[c + offset];
  }
}

// out[c] = s[c]^-beta; the usual 0.75 through square roots, which vectorise.
ENCKE_INLINE inline void NegativePower(const float* s, int64_t channels, float beta, float* out) {
  if (beta == 0.75f) {
#pragma omp simd
    for (int64_t c = 0; c < channels; ++c) {
      const float root = std::sqrt(s[c]);
      out[c] = 1.0f / (root * std::sqrt(root));
    }
    return;
  }
  for (int64_t c = 0; c < channels; ++c) out[c] = std::pow(s[c], -beta);
}

// The scale of a pixel and its negative power.
struct LrnScale {
  LrnScale(const LrnOptions& options, int64_t channels)
      : o(options),
        below(options.size / 2),
        above((options.size - 1) / 2),
        squares(channels, below, above),
        s(channels),
        power(channels) {}

  template <typename T>
  ENCKE_INLINE void Compute(const T* x, int64_t channels) {
    float* square = squares.channel(0);
#pragma omp simd
    for (int64_t c = 0; c < channels; ++c) square[c] = Widen(x[c]) * Widen(x[c]);
    WindowSums(square, channels, below, above, s.data());
    const float factor = o.alpha / static_cast<float>(o.size);
    float* ps = s.data();
#pragma omp simd
    for (int64_t c = 0; c < channels; ++c) ps[c] = o.k + factor * ps[c];
    NegativePower(ps, channels, o.beta, power.data());
  }

  LrnOptions o;
  int64_t below, above;
  PaddedRow squares;
  std::vector<float> s, power;
};

}  // namespace

void CpuBackend::LrnForward(const LrnOptions& options, const Tensor& x, const Tensor& y) {
  CheckAlike(x, y);
  const int64_t channels = x.shape().c;
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    const T* from = Elements<T>(x);
    T* to = Elements<T>(y);
    ParallelSimd(x.elements() / channels, RowGrain(4 * channels),
                 [&](int64_t begin, int64_t end) ENCKE_INLINE {
                   LrnScale scale(options, channels);
                   for (int64_t pixel = begin; pixel < end; ++pixel) {
                     const T* px = from + pixel * channels;
                     T* py = to + pixel * channels;
                     scale.Compute(px, channels);
                     const float* power = scale.power.data();
#pragma omp simd
                     for (int64_t c = 0; c < channels; ++c)
                       py[c] = Narrow<T>(Widen(px[c]) * power[c]);
                   }
                 });
  });
}

void CpuBackend::LrnBackward(const LrnOptions& options, const Tensor& x, const Tensor& dy,
                             const Tensor& dx) {
  CheckAlike(x, dy);
  CheckAlike(x, dx);
  const int64_t channels = x.shape().c;
  const float factor = 2.0f * options.alpha * options.beta / static_cast<float>(options.size);
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    const T* input = Elements<T>(x);
    const T* gradient = Elements<T>(dy);
    T* out = Elements<T>(dx);
    ParallelSimd(x.elements() / channels, RowGrain(8 * channels),
                 [&](int64_t begin, int64_t end) ENCKE_INLINE {
                   LrnScale scale(options, channels);
                   // Windows seen from the other end.
                   PaddedRow ratios(channels, scale.above, scale.below);
                   std::vector<float> sums(channels);
                   float *ratio = ratios.channel(0), *sum = sums.data();
                   const float *s = scale.s.data(), *power = scale.power.data();
                   for (int64_t pixel = begin; pixel < end; ++pixel) {
                     const T* px = input + pixel * channels;
                     const T* pd = gradient + pixel * channels;
                     T* po = out + pixel * channels;
                     scale.Compute(px, channels);
#pragma omp simd
                     for (int64_t c = 0; c < channels; ++c) {
                       ratio[c] = Widen(pd[c]) * Widen(px[c]) * power[c] / s[c];
                     }
                     WindowSums(ratio, channels, scale.above, scale.below, sum);
#pragma omp simd
                     for (int64_t c = 0; c < channels; ++c) {
                       po[c] = Narrow<T>(Widen(pd[c]) * power[c] - factor * Widen(px[c]) * sum[c]);
                     }
                   }
                 });
  });
}

}  // namespace encke::cpu
