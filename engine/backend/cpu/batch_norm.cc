// Batch norm in two passes over the rows: sums of each channel, then the normalisation.
//
// A row of few or odd many channels would leave vectors half empty, so rows are taken together to
// periods of at least kPeriod elements, and what belongs to channels is repeated along a period.
//
// Sums run over few periods in fp32 and then in double, over values less the channel's first one,
// so that a mean that is large against the deviation does no harm. Each thread sums a fixed range
// and ranges are added in order: the result depends on the thread count alone.
#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/backend/cpu/cpu_backend.h"
#include "engine/backend/cpu/simd.h"
#include "engine/core/error.h"

namespace encke::cpu {
namespace {

constexpr int64_t kPeriod = 256;
constexpr int64_t kPeriodsInFp32 = 32;  // summed before they go to double

struct Periods {
  explicit Periods(const Shape& shape)
      : channels(shape.c),
        rows(shape.n * shape.h * shape.w),
        elements(shape.elements()),
        length(channels * ((kPeriod + channels - 1) / channels)),
        count((elements + length - 1) / length) {}

  int64_t grain() const { return RowGrain(length); }
  int64_t Length(int64_t period) const { return std::min(length, elements - period * length); }
  std::vector<float> Repeat(const float* of_channels) const {
    std::vector<float> repeated(length);
    for (int64_t i = 0; i < length; ++i) repeated[i] = of_channels[i % channels];
    return repeated;
  }

  int64_t channels, rows, elements, length, count;
};

struct ChannelSums {
  std::vector<double> first, second;  // [channels]
};

// Sums, for each channel, two terms of each element. terms(i, place, &first, &second) adds those of
// element i, at `place` inside its period.
template <typename Terms>
ChannelSums SumChannels(const Periods& p, const Terms& terms) {
  std::vector<double> partial(Threads() * 2 * p.channels, 0.0);
  ParallelForIndexed(p.count, p.grain(), [&](int range, int64_t begin, int64_t end) {
    std::vector<float> sums(2 * p.length);
    double* total = partial.data() + range * 2 * p.channels;
    for (int64_t first = begin; first < end; first += kPeriodsInFp32) {
      const int64_t last = std::min(end, first + kPeriodsInFp32);
      std::fill(sums.begin(), sums.end(), 0.0f);
      Simd([&]() ENCKE_INLINE {
        float* a = sums.data();
        float* b = a + p.length;
        for (int64_t period = first; period < last; ++period) {
          const int64_t base = period * p.length, length = p.Length(period);
#pragma omp simd
          for (int64_t i = 0; i < length; ++i) terms(base + i, i, a + i, b + i);
        }
      });
      for (int64_t row = 0; row < p.length; row += p.channels) {
        const float *a = sums.data() + row, *b = a + p.length;
        for (int64_t c = 0; c < p.channels; ++c) {
          total[c] += a[c];
          total[p.channels + c] += b[c];
        }
      }
    }
  });
  ChannelSums result{std::vector<double>(p.channels), std::vector<double>(p.channels)};
  for (int t = 0; t < Threads(); ++t) {
    for (int64_t c = 0; c < p.channels; ++c) {
      result.first[c] += partial[t * 2 * p.channels + c];
      result.second[c] += partial[(t * 2 + 1) * p.channels + c];
    }
  }
  return result;
}

// Writes op(i, place) to each element of `out`.
template <typename T, typename Op>
void MapChannels(const Periods& p, T* out, const Op& op) {
  ParallelSimd(p.count, p.grain(), [&](int64_t begin, int64_t end) ENCKE_INLINE {
    for (int64_t period = begin; period < end; ++period) {
      const int64_t base = period * p.length, length = p.Length(period);
#pragma omp simd
      for (int64_t i = 0; i < length; ++i) out[base + i] = Narrow<T>(op(base + i, i));
    }
  });
}

// y = (x - mean) * scale + shift, each [channels].
template <typename T>
void Normalize(const Periods& p, const T* x, const float* mean, const float* scale,
               const float* shift, T* y) {
  const std::vector<float> means = p.Repeat(mean), scales = p.Repeat(scale);
  const std::vector<float> shifts = p.Repeat(shift);
  const float *m = means.data(), *a = scales.data(), *b = shifts.data();
  MapChannels(p, y, [=](int64_t i, int64_t place) ENCKE_INLINE {
    return (Widen(x[i]) - m[place]) * a[place] + b[place];
  });
}

void CheckChannels(const Tensor& x, std::initializer_list<const Tensor*> vectors) {
  for (const Tensor* vector : vectors)
    ENCKE_CHECK(vector->elements() == x.shape().c, vector->elements(), " for ", x.shape().c);
}

void UpdateRunning(float momentum, double value, float* running) {
  *running = static_cast<float>((1.0 - momentum) * *running + momentum * value);
}

template <typename T>
ChannelSums SumShifted(const Periods& p, const T* x, const float* origin) {
  return SumChannels(p, [=](int64_t i, int64_t place, float* sum, float* squares) ENCKE_INLINE {
    const float d = Widen(x[i]) - origin[place];
    *sum += d;
    *squares += d * d;
  });
}

}  // namespace

void CpuBackend::BatchNormForward(float epsilon, float momentum, const Tensor& x,
                                  const Tensor& gamma, const Tensor& beta, const Tensor& y,
                                  const Tensor& mean, const Tensor& inv_std,
                                  const Tensor& running_mean, const Tensor& running_variance) {
  CheckAlike(x, y);
  CheckChannels(x, {&gamma, &beta, &mean, &inv_std, &running_mean, &running_variance});
  const Periods p(x.shape());
  ENCKE_CHECK(p.rows > 0, x.shape().ToString());
  std::vector<float> origin(p.channels), scale(p.channels);
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    const T* px = Elements<T>(x);
    for (int64_t c = 0; c < p.channels; ++c) origin[c] = Widen(px[c]);
    const std::vector<float> origins = p.Repeat(origin.data());
    const ChannelSums sums = SumShifted(p, px, origins.data());
    const double m = static_cast<double>(p.rows);
    for (int64_t c = 0; c < p.channels; ++c) {
      const double shifted = sums.first[c] / m;
      const double variance = std::fmax(sums.second[c] / m - shifted * shifted, 0.0);
      const double batch_mean = origin[c] + shifted;
      const double s = 1.0 / std::sqrt(variance + epsilon);
      mean.data<float>()[c] = static_cast<float>(batch_mean);
      inv_std.data<float>()[c] = static_cast<float>(s);
      scale[c] = static_cast<float>(gamma.data<float>()[c] * s);
      UpdateRunning(momentum, batch_mean, running_mean.data<float>() + c);
      UpdateRunning(momentum, p.rows > 1 ? variance * m / (m - 1) : variance,
                    running_variance.data<float>() + c);
    }
    Normalize(p, px, mean.data<float>(), scale.data(), beta.data<float>(), Elements<T>(y));
  });
}

void CpuBackend::BatchNormInference(float epsilon, const Tensor& x, const Tensor& gamma,
                                    const Tensor& beta, const Tensor& mean, const Tensor& variance,
                                    const Tensor& y) {
  CheckAlike(x, y);
  CheckChannels(x, {&gamma, &beta, &mean, &variance});
  const Periods p(x.shape());
  std::vector<float> scale(p.channels);
  for (int64_t c = 0; c < p.channels; ++c) {
    scale[c] = gamma.data<float>()[c] / std::sqrt(variance.data<float>()[c] + epsilon);
  }
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    Normalize(p, Elements<T>(x), mean.data<float>(), scale.data(), beta.data<float>(),
              Elements<T>(y));
  });
}

// With m rows and xh = (x - mean) / std (Ioffe and Szegedy 2015, section 3):
//   dbeta = sum dy,  dgamma = sum dy * xh,  dx = gamma / std * (dy - dbeta / m - xh * dgamma / m)
void CpuBackend::BatchNormBackward(const Tensor& x, const Tensor& gamma, const Tensor& mean,
                                   const Tensor& inv_std, const Tensor& dy, const Tensor& dx,
                                   const Tensor& dgamma, const Tensor& dbeta, bool accumulate) {
  CheckAlike(x, dy);
  CheckAlike(dy, dx);
  CheckChannels(x, {&gamma, &mean, &inv_std, &dgamma, &dbeta});
  const Periods p(x.shape());
  const std::vector<float> means = p.Repeat(mean.data<float>());
  std::vector<float> of_dy(p.channels), of_x(p.channels), constant(p.channels);
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    const T* px = Elements<T>(x);
    const T* pdy = Elements<T>(dy);
    const float* mu = means.data();
    const ChannelSums sums =
        SumChannels(p, [=](int64_t i, int64_t place, float* sum, float* products) ENCKE_INLINE {
          const float g = Widen(pdy[i]);
          *sum += g;
          *products += g * (Widen(px[i]) - mu[place]);
        });
    const double m = static_cast<double>(p.rows);
    for (int64_t c = 0; c < p.channels; ++c) {
      const double s = inv_std.data<float>()[c];
      const double db = sums.first[c], dg = sums.second[c] * s;
      const double a = gamma.data<float>()[c] * s;
      of_dy[c] = static_cast<float>(a);
      of_x[c] = static_cast<float>(-a * s * dg / m);
      constant[c] = static_cast<float>(-a * db / m);
      float* pg = dgamma.data<float>() + c;
      float* pb = dbeta.data<float>() + c;
      *pg = static_cast<float>(dg) + (accumulate ? *pg : 0.0f);
      *pb = static_cast<float>(db) + (accumulate ? *pb : 0.0f);
    }
    const std::vector<float> as = p.Repeat(of_dy.data()), bs = p.Repeat(of_x.data());
    const std::vector<float> cs = p.Repeat(constant.data());
    const float *a = as.data(), *b = bs.data(), *k = cs.data();
    MapChannels(p, Elements<T>(dx), [=](int64_t i, int64_t place) ENCKE_INLINE {
      return Widen(pdy[i]) * a[place] + ((Widen(px[i]) - mu[place]) * b[place] + k[place]);
    });
  });
}

}  // namespace encke::cpu
