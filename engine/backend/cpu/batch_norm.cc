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
#include <limits>
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

// y = (x - mean) * scale + shift, each [channels], and its ReLU where asked for. NaN passes.
template <typename T>
void Normalize(const Periods& p, const T* x, const float* mean, const float* scale,
               const float* shift, bool relu, T* y) {
  const std::vector<float> means = p.Repeat(mean), scales = p.Repeat(scale);
  const std::vector<float> shifts = p.Repeat(shift);
  const float *m = means.data(), *a = scales.data(), *b = shifts.data();
  if (relu) {
    MapChannels(p, y, [=](int64_t i, int64_t place) ENCKE_INLINE {
      const float v = (Widen(x[i]) - m[place]) * a[place] + b[place];
      return v <= 0.0f ? 0.0f : v;
    });
  } else {
    MapChannels(p, y, [=](int64_t i, int64_t place) ENCKE_INLINE {
      return (Widen(x[i]) - m[place]) * a[place] + b[place];
    });
  }
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

// Moments of one channel: how many elements, their mean, the sum of squared differences from it.
struct Moments {
  double count = 0, mean = 0, squares = 0;

  // Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
  // variances", 1979.
  void Merge(const Moments& other) {
    const double total = count + other.count;
    if (total == 0) return;
    const double delta = other.mean - mean;
    mean += delta * (other.count / total);
    squares += other.squares + delta * delta * (count * (other.count / total));
    count = total;
  }
};

// gamma * inv_std, as forward and backward both must round it.
std::vector<float> Scales(const NormChannels& norm) {
  std::vector<float> scales(norm.gamma.elements());
  for (size_t c = 0; c < scales.size(); ++c) {
    const double inv_std = norm.inv_std.data<float>()[c];
    scales[c] = static_cast<float>(norm.gamma.data<float>()[c] * inv_std);
  }
  return scales;
}

// What the output gradient counts for behind an optional ReLU.
struct NoRelu {
  ENCKE_INLINE float operator()(int64_t, int64_t, float, float dy) const { return dy; }
};

template <typename T>
struct ReluByOutput {
  const T* y;
  ENCKE_INLINE float operator()(int64_t i, int64_t, float, float dy) const {
    return Widen(y[i]) > 0.0f ? dy : 0.0f;
  }
};

// Computes the sign of the output again. `centred` is x - mean.
struct ReluByInput {
  const float *scale, *shift;
  ENCKE_INLINE float operator()(int64_t, int64_t place, float centred, float dy) const {
    return centred * scale[place] + shift[place] > 0.0f ? dy : 0.0f;
  }
};

// Calls f(gate), gate one of the above.
template <typename T, typename F>
void WithGate(const Periods& p, const NormChannels& norm, const Tensor& y, const F& f) {
  if (!norm.relu) return f(NoRelu());
  if (y.defined()) return f(ReluByOutput<T>{Elements<T>(y)});
  const std::vector<float> scales = p.Repeat(Scales(norm).data());
  const std::vector<float> shifts = p.Repeat(norm.beta.data<float>());
  f(ReluByInput{scales.data(), shifts.data()});
}

}  // namespace

void CpuBackend::BatchNormMoments(const Tensor& x, const Tensor& moments, bool accumulate) {
  const Periods p(x.shape());
  ENCKE_CHECK(p.rows > 0 && moments.elements() == 3 * p.channels, x.shape().ToString());
  float* counts = moments.data<float>();
  float *means = counts + p.channels, *squares = means + p.channels;
  if (!accumulate) std::fill(counts, counts + 3 * p.channels, 0.0f);
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    const T* px = Elements<T>(x);
    std::vector<float> origin(p.channels);
    for (int64_t c = 0; c < p.channels; ++c) origin[c] = Widen(px[c]);
    const std::vector<float> origins = p.Repeat(origin.data());
    const ChannelSums sums = SumShifted(p, px, origins.data());
    const double m = static_cast<double>(p.rows);
    for (int64_t c = 0; c < p.channels; ++c) {
      const double shifted = sums.first[c] / m;
      Moments all = {counts[c], means[c], squares[c]};
      all.Merge({m, origin[c] + shifted, std::fmax(sums.second[c] - m * shifted * shifted, 0.0)});
      counts[c] = static_cast<float>(all.count);
      means[c] = static_cast<float>(all.mean);
      squares[c] = static_cast<float>(all.squares);
    }
  });
}

void CpuBackend::BatchNormStatistics(float epsilon, float momentum, const Tensor& moments,
                                     const Tensor& mean, const Tensor& inv_std,
                                     const Tensor& running_mean, const Tensor& running_variance) {
  const int64_t channels = mean.elements();
  ENCKE_CHECK(moments.elements() == 3 * channels, moments.elements(), channels);
  for (int64_t c = 0; c < channels; ++c) {
    const float* moment = moments.data<float>() + c;
    const double m = moment[0], batch_mean = moment[channels], squares = moment[2 * channels];
    mean.data<float>()[c] = static_cast<float>(batch_mean);
    inv_std.data<float>()[c] = static_cast<float>(1.0 / std::sqrt(squares / m + epsilon));
    UpdateRunning(momentum, batch_mean, running_mean.data<float>() + c);
    UpdateRunning(momentum, squares / std::fmax(m - 1, 1.0), running_variance.data<float>() + c);
  }
}

void CpuBackend::BatchNormApply(const NormChannels& norm, const Tensor& x, const Tensor& y) {
  CheckAlike(x, y);
  CheckChannels(x, {&norm.mean, &norm.inv_std, &norm.gamma, &norm.beta});
  const Periods p(x.shape());
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    Normalize(p, Elements<T>(x), norm.mean.data<float>(), Scales(norm).data(),
              norm.beta.data<float>(), norm.relu, Elements<T>(y));
  });
}

void CpuBackend::BatchNormApplyAdd(const NormChannels& norm, const Tensor& x, const Tensor& addend,
                                   const Tensor& y) {
  CheckAlike(x, y);
  CheckAlike(x, addend);
  CheckChannels(x, {&norm.mean, &norm.inv_std, &norm.gamma, &norm.beta});
  const Periods p(x.shape());
  const std::vector<float> means = p.Repeat(norm.mean.data<float>());
  const std::vector<float> scales = p.Repeat(Scales(norm).data());
  const std::vector<float> shifts = p.Repeat(norm.beta.data<float>());
  const float floor = norm.relu ? 0.0f : -std::numeric_limits<float>::infinity();
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    const T* px = Elements<T>(x);
    const T* other = Elements<T>(addend);
    const float *m = means.data(), *a = scales.data(), *b = shifts.data();
    MapChannels(p, Elements<T>(y), [=](int64_t i, int64_t place) ENCKE_INLINE {
      const T normal = Narrow<T>((Widen(px[i]) - m[place]) * a[place] + b[place]);
      const float sum = Widen(normal) + Widen(other[i]);
      return sum <= floor ? floor : sum;  // NaN passes
    });
  });
}

void CpuBackend::BatchNormInference(float epsilon, bool relu, const Tensor& x, const Tensor& gamma,
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
    Normalize(p, Elements<T>(x), mean.data<float>(), scale.data(), beta.data<float>(), relu,
              Elements<T>(y));
  });
}

void CpuBackend::BatchNormInvert(const NormChannels& norm, const Tensor& sum,
                                 const Tensor& shortcut, const Tensor& x) {
  CheckAlike(sum, shortcut);
  CheckAlike(sum, x);
  CheckChannels(x, {&norm.mean, &norm.inv_std, &norm.gamma, &norm.beta});
  const Periods p(x.shape());
  std::vector<float> factors = Scales(norm);
  for (float& factor : factors) factor = 1.0f / factor;
  const std::vector<float> means = p.Repeat(norm.mean.data<float>());
  const std::vector<float> of_sum = p.Repeat(factors.data());
  const std::vector<float> betas = p.Repeat(norm.beta.data<float>());
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    const T* ps = Elements<T>(sum);
    const T* pk = Elements<T>(shortcut);
    const float *mu = means.data(), *a = of_sum.data(), *b = betas.data();
    MapChannels(p, Elements<T>(x), [=](int64_t i, int64_t place) ENCKE_INLINE {
      return mu[place] + (Widen(ps[i]) - Widen(pk[i]) - b[place]) * a[place];
    });
  });
}

void CpuBackend::BatchNormBackwardSums(const NormChannels& norm, const Tensor& x, const Tensor& y,
                                       const Tensor& dy, const Tensor& sums, bool accumulate) {
  CheckAlike(x, dy);
  CheckChannels(x, {&norm.mean, &norm.inv_std, &norm.gamma, &norm.beta});
  const Periods p(x.shape());
  ENCKE_CHECK(sums.elements() == 2 * p.channels, sums.elements(), p.channels);
  const std::vector<float> means = p.Repeat(norm.mean.data<float>());
  ChannelSums added;
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    const T* px = Elements<T>(x);
    const T* pdy = Elements<T>(dy);
    const float* mu = means.data();
    WithGate<T>(p, norm, y, [&](auto gate) {
      added =
          SumChannels(p, [=](int64_t i, int64_t place, float* sum, float* products) ENCKE_INLINE {
            const float centred = Widen(px[i]) - mu[place];
            const float g = gate(i, place, centred, Widen(pdy[i]));
            *sum += g;
            *products += g * centred;
          });
    });
  });
  for (int64_t c = 0; c < p.channels; ++c) {
    float *db = sums.data<float>() + c, *dg = db + p.channels;
    const double products = added.second[c] * norm.inv_std.data<float>()[c];
    *db = static_cast<float>(added.first[c] + (accumulate ? *db : 0.0f));
    *dg = static_cast<float>(products + (accumulate ? *dg : 0.0f));
  }
}

// With m rows and xh = (x - mean) / std (Ioffe and Szegedy 2015, section 3):
//   dbeta = sum dy,  dgamma = sum dy * xh,  dx = gamma / std * (dy - dbeta / m - xh * dgamma / m)
void CpuBackend::BatchNormBackwardApply(const NormChannels& norm, const Tensor& x, const Tensor& y,
                                        const Tensor& sums, int64_t count, const Tensor& dy,
                                        const Tensor& dx) {
  CheckAlike(x, dy);
  CheckAlike(dy, dx);
  const Periods p(x.shape());
  const std::vector<float> means = p.Repeat(norm.mean.data<float>());
  std::vector<float> of_dy(p.channels), of_x(p.channels), constant(p.channels);
  const double m = static_cast<double>(count);
  for (int64_t c = 0; c < p.channels; ++c) {
    const double s = norm.inv_std.data<float>()[c], a = norm.gamma.data<float>()[c] * s;
    const float* db = sums.data<float>() + c;
    of_dy[c] = static_cast<float>(a);
    of_x[c] = static_cast<float>(-a * s * db[p.channels] / m);
    constant[c] = static_cast<float>(-a * db[0] / m);
  }
  const std::vector<float> as = p.Repeat(of_dy.data()), bs = p.Repeat(of_x.data());
  const std::vector<float> cs = p.Repeat(constant.data());
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    const T* px = Elements<T>(x);
    const T* pdy = Elements<T>(dy);
    const float *mu = means.data(), *a = as.data(), *b = bs.data(), *k = cs.data();
    WithGate<T>(p, norm, y, [&](auto gate) {
      MapChannels(p, Elements<T>(dx), [=](int64_t i, int64_t place) ENCKE_INLINE {
        const float centred = Widen(px[i]) - mu[place];
        return gate(i, place, centred, Widen(pdy[i])) * a[place] + (centred * b[place] + k[place]);
      });
    });
  });
}

void CpuBackend::BatchNormParameterGradients(const Tensor& sums, const Tensor& dgamma,
                                             const Tensor& dbeta, bool accumulate) {
  const int64_t channels = dgamma.elements();
  ENCKE_CHECK(sums.elements() == 2 * channels, sums.elements(), channels);
  for (int64_t c = 0; c < channels; ++c) {
    const float* db = sums.data<float>() + c;
    float *pg = dgamma.data<float>() + c, *pb = dbeta.data<float>() + c;
    *pb = db[0] + (accumulate ? *pb : 0.0f);
    *pg = db[channels] + (accumulate ? *pg : 0.0f);
  }
}

}  // namespace encke::cpu
