// Functors of batch norm and of sums over rows. A value is rows x channels here.
//
// "Terms" functors say what an element adds to the two sums of its channel:
//   Load(c): what a thread keeps of channel c;  Add(loaded, elements..., &first, &second).
// "Finish" functors take a channel's two sums. "Map" functors make an element from those at its
// place: Load(c), then operator()(loaded, elements...).
#pragma once

#include <cmath>
#include <cstdint>

#include "engine/backend/cuda/value.h"

namespace encke::cuda {

struct NoChannel {};

// Sum and sum of squares. In double, so that a mean that is large against the deviation does no
// harm.
struct MomentTerms {
  using Channel = NoChannel;
  ENCKE_HOST_DEVICE Channel Load(int64_t) const { return {}; }
  ENCKE_HOST_DEVICE void Add(const Channel&, float x, double* sum, double* squares) const {
    const double wide = x;
    *sum += wide;
    *squares += wide * wide;
  }
};

// Merges `rows` rows into moments [3, C]: count, mean, sum of squared differences from the mean
// (Chan, Golub, LeVeque: "Updating Formulae and a Pairwise Algorithm for Computing Sample
// Variances", 1979).
struct MomentFinish {
  int64_t rows, channels;
  bool accumulate;
  float* moments;
  ENCKE_HOST_DEVICE void operator()(int64_t c, double sum, double squares) const {
    const double n = static_cast<double>(rows);
    double count = n, mean = sum / n;
    double m2 = squares - sum * mean;
    m2 = m2 < 0.0 ? 0.0 : m2;  // NaN passes
    if (accumulate) {
      const double n0 = moments[c], delta = mean - moments[channels + c];
      count = n0 + n;
      mean = moments[channels + c] + delta * n / count;
      m2 += moments[2 * channels + c] + delta * delta * n0 * n / count;
    }
    moments[c] = static_cast<float>(count);
    moments[channels + c] = static_cast<float>(mean);
    moments[2 * channels + c] = static_cast<float>(m2);
  }
};

// Mean, 1 / std and the running statistics of channel c.
struct StatisticsOp {
  float epsilon, momentum;
  int64_t channels;
  const float* moments;
  float *mean, *inv_std, *running_mean, *running_variance;
  ENCKE_HOST_DEVICE void operator()(int64_t c) const {
    const double count = moments[c], m2 = moments[2 * channels + c];
    const double variance = m2 / count;
    mean[c] = moments[channels + c];
    inv_std[c] = static_cast<float>(1.0 / sqrt(variance + epsilon));
    Follow(moments[channels + c], running_mean + c);
    Follow(count > 1.0 ? m2 / (count - 1.0) : variance, running_variance + c);
  }
  ENCKE_HOST_DEVICE void Follow(double value, float* running) const {
    *running = static_cast<float>((1.0 - momentum) * *running + momentum * value);
  }
};

// y = (x - mean) * scale + shift, then the ReLU if asked for.
struct NormalizedChannel {
  float mean, scale, shift;
};

ENCKE_HOST_DEVICE inline float Normalized(const NormalizedChannel& channel, bool relu, float x) {
  const float y = (x - channel.mean) * channel.scale + channel.shift;
  return relu && y <= 0.0f ? 0.0f : y;
}

struct NormApplyMap {
  const float *mean, *inv_std, *gamma, *beta;
  bool relu;
  using Channel = NormalizedChannel;
  ENCKE_HOST_DEVICE Channel Load(int64_t c) const {
    return {mean[c], gamma[c] * inv_std[c], beta[c]};
  }
  ENCKE_HOST_DEVICE float operator()(const Channel& channel, float x) const {
    return Normalized(channel, relu, x);
  }
};

// What NormApplyMap gives, as a T, plus an addend, then the ReLU if asked for.
template <typename T>
struct NormApplyAddMap {
  NormApplyMap apply;
  bool relu;
  using Channel = NormalizedChannel;
  ENCKE_HOST_DEVICE Channel Load(int64_t c) const { return apply.Load(c); }
  ENCKE_HOST_DEVICE float operator()(const Channel& channel, float x, float addend) const {
    const float sum = Widen(Narrow<T>(apply(channel, x))) + addend;
    return relu && sum <= 0.0f ? 0.0f : sum;
  }
};

struct NormInferenceMap {
  float epsilon;
  bool relu;
  const float *mean, *variance, *gamma, *beta;
  using Channel = NormalizedChannel;
  ENCKE_HOST_DEVICE Channel Load(int64_t c) const {
    return {mean[c], gamma[c] / sqrtf(variance[c] + epsilon), beta[c]};
  }
  ENCKE_HOST_DEVICE float operator()(const Channel& channel, float x) const {
    return Normalized(channel, relu, x);
  }
};

// x = mean + (sum - shortcut - shift) / scale.
struct NormInvertMap {
  const float *mean, *inv_std, *gamma, *beta;
  struct Channel {
    float mean, factor, shift;
  };
  ENCKE_HOST_DEVICE Channel Load(int64_t c) const {
    return {mean[c], 1.0f / (gamma[c] * inv_std[c]), beta[c]};
  }
  ENCKE_HOST_DEVICE float operator()(const Channel& channel, float sum, float shortcut) const {
    return channel.mean + (sum - shortcut - channel.shift) * channel.factor;
  }
};

// What the output gradient counts behind a ReLU: where the output was above 0, as a third element
// says or, where there is none and `gate` is set, as computing it again from x says.
struct NormGate {
  bool gate;
  const float *mean, *inv_std, *gamma, *beta;
  ENCKE_HOST_DEVICE NormalizedChannel Load(int64_t c) const {
    return {mean[c], gamma[c] * inv_std[c], beta[c]};
  }
  ENCKE_HOST_DEVICE float ByInput(const NormalizedChannel& channel, float x, float dy) const {
    return !gate || Normalized(channel, false, x) > 0.0f ? dy : 0.0f;
  }
};

ENCKE_HOST_DEVICE inline float GateByOutput(float y, float dy) { return y > 0.0f ? dy : 0.0f; }

// sum dy and sum dy * xh.
struct NormGradientTerms {
  NormGate gate;
  struct Channel {
    NormalizedChannel output;
    float inv_std;
  };
  ENCKE_HOST_DEVICE Channel Load(int64_t c) const { return {gate.Load(c), gate.inv_std[c]}; }
  ENCKE_HOST_DEVICE void Add(const Channel& channel, float x, float dy, double* sum,
                             double* products) const {
    AddGated(channel, x, gate.ByInput(channel.output, x, dy), sum, products);
  }
  ENCKE_HOST_DEVICE void Add(const Channel& channel, float x, float dy, float y, double* sum,
                             double* products) const {
    AddGated(channel, x, GateByOutput(y, dy), sum, products);
  }
  ENCKE_HOST_DEVICE void AddGated(const Channel& channel, float x, float dy, double* sum,
                                  double* products) const {
    *sum += static_cast<double>(dy);
    *products += static_cast<double>(dy * ((x - channel.output.mean) * channel.inv_std));
  }
};

// sums [2, C] get the two sums, on top of what they hold where `accumulate`.
struct SumsFinish {
  int64_t channels;
  bool accumulate;
  float* sums;
  ENCKE_HOST_DEVICE void operator()(int64_t c, double first, double second) const {
    if (accumulate) {
      first += sums[c];
      second += sums[channels + c];
    }
    sums[c] = static_cast<float>(first);
    sums[channels + c] = static_cast<float>(second);
  }
};

// With m rows (Ioffe and Szegedy 2015, section 3), dbeta and dgamma the two sums:
//   dx = gamma / std * (dy - dbeta / m - xh * dgamma / m)
struct NormGradientMap {
  NormGate gate;
  int64_t channels;
  double rows;
  const float* sums;
  struct Channel {
    NormalizedChannel output;
    float of_dy, of_x, constant;
  };
  ENCKE_HOST_DEVICE Channel Load(int64_t c) const {
    const double s = gate.inv_std[c], a = gate.gamma[c] * s;
    return {gate.Load(c), static_cast<float>(a),
            static_cast<float>(-a * s * sums[channels + c] / rows),
            static_cast<float>(-a * sums[c] / rows)};
  }
  ENCKE_HOST_DEVICE float operator()(const Channel& channel, float x, float dy) const {
    return Gradient(channel, x, gate.ByInput(channel.output, x, dy));
  }
  ENCKE_HOST_DEVICE float operator()(const Channel& channel, float x, float dy, float y) const {
    return Gradient(channel, x, GateByOutput(y, dy));
  }
  ENCKE_HOST_DEVICE static float Gradient(const Channel& channel, float x, float dy) {
    return dy * channel.of_dy + ((x - channel.output.mean) * channel.of_x + channel.constant);
  }
};

// dgamma and dbeta of channel c from the sums.
struct NormParameterGradientOp {
  int64_t channels;
  bool accumulate;
  const float* sums;
  float *dgamma, *dbeta;
  ENCKE_HOST_DEVICE void operator()(int64_t c) const {
    dbeta[c] = sums[c] + (accumulate ? dbeta[c] : 0.0f);
    dgamma[c] = sums[channels + c] + (accumulate ? dgamma[c] : 0.0f);
  }
};

// A sum over rows alone: the gradient of a bias.
struct RowTerms {
  using Channel = NoChannel;
  ENCKE_HOST_DEVICE Channel Load(int64_t) const { return {}; }
  ENCKE_HOST_DEVICE void Add(const Channel&, float x, double* sum, double*) const {
    *sum += static_cast<double>(x);
  }
};

struct RowFinish {
  bool accumulate;
  float* sum;
  ENCKE_HOST_DEVICE void operator()(int64_t c, double first, double) const {
    sum[c] = static_cast<float>(first + (accumulate ? sum[c] : 0.0));
  }
};

}  // namespace encke::cuda
