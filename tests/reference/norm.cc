#include <algorithm>
#include <cmath>

#include "tests/reference/reference.h"

namespace encke::reference {
namespace {

// LRN's scale k + alpha / size * (sum of squares in the window of each channel).
Values LrnScale(const LrnOptions& o, const Shape& shape, const Values& x) {
  Values scale(x.size(), o.k);
  for (int64_t i = 0; i < shape.elements(); ++i) {
    const int64_t c = i % shape.c, pixel = i - c;
    for (int64_t j = c - o.size / 2; j <= c + (o.size - 1) / 2; ++j) {
      if (j < 0 || j >= shape.c) continue;
      scale[i] += o.alpha / static_cast<double>(o.size) * x[pixel + j] * x[pixel + j];
    }
  }
  return scale;
}

}  // namespace

BatchNormed BatchNormForward(double epsilon, const Shape& shape, const Values& x,
                             const Values& gamma, const Values& beta) {
  const int64_t c = shape.c;
  const double m = static_cast<double>(shape.elements() / c);
  BatchNormed r{Values(x.size()), SumToChannels(shape, x), Values(c), Values(c, 0.0)};
  for (double& mean : r.mean) mean /= m;
  for (size_t i = 0; i < x.size(); ++i)
    r.variance[i % c] += (x[i] - r.mean[i % c]) * (x[i] - r.mean[i % c]);
  for (int64_t k = 0; k < c; ++k) {
    r.inv_std[k] = 1.0 / std::sqrt(r.variance[k] / m + epsilon);
    r.variance[k] /= std::max(m - 1.0, 1.0);
  }
  for (size_t i = 0; i < x.size(); ++i)
    r.y[i] = (x[i] - r.mean[i % c]) * r.inv_std[i % c] * gamma[i % c] + beta[i % c];
  return r;
}

BatchNormGradients BatchNormBackward(const Shape& shape, const Values& x, const Values& gamma,
                                     const Values& mean, const Values& inv_std, const Values& dy) {
  const int64_t c = shape.c;
  const double m = static_cast<double>(shape.elements() / c);
  Values normalised(x.size()), products(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    normalised[i] = (x[i] - mean[i % c]) * inv_std[i % c];
    products[i] = dy[i] * normalised[i];
  }
  BatchNormGradients r{Values(x.size()), SumToChannels(shape, products), SumToChannels(shape, dy)};
  for (size_t i = 0; i < x.size(); ++i) {
    r.dx[i] = gamma[i % c] * inv_std[i % c] *
              (dy[i] - r.dbeta[i % c] / m - normalised[i] * r.dgamma[i % c] / m);
  }
  return r;
}

Values LrnForward(const LrnOptions& options, const Shape& shape, const Values& x) {
  const Values scale = LrnScale(options, shape, x);
  Values y(x.size());
  for (size_t i = 0; i < x.size(); ++i) y[i] = x[i] * std::pow(scale[i], -options.beta);
  return y;
}

Values LrnBackward(const LrnOptions& o, const Shape& shape, const Values& x, const Values& dy) {
  const Values scale = LrnScale(o, shape, x);
  Values dx(x.size(), 0.0);
  for (int64_t i = 0; i < shape.elements(); ++i) {
    const int64_t c = i % shape.c, pixel = i - c;
    dx[i] += dy[i] * std::pow(scale[i], -o.beta);
    for (int64_t j = c - o.size / 2; j <= c + (o.size - 1) / 2; ++j) {
      if (j < 0 || j >= shape.c) continue;
      dx[pixel + j] -= 2.0 * o.alpha * o.beta / static_cast<double>(o.size) * x[pixel + j] * dy[i] *
                       x[i] * std::pow(scale[i], -o.beta - 1.0);
    }
  }
  return dx;
}

Softmaxed SoftmaxCrossEntropy(const Shape& shape, const Values& logits,
                              const std::vector<int32_t>& labels, double smoothing) {
  const int64_t classes = shape.sample();
  Softmaxed r{Values(logits.size()), Values(shape.n, 0.0)};
  for (int64_t n = 0; n < shape.n; ++n) {
    const double* row = logits.data() + n * classes;
    const double highest = *std::max_element(row, row + classes);
    double sum = 0.0;
    for (int64_t c = 0; c < classes; ++c) sum += std::exp(row[c] - highest);
    for (int64_t c = 0; c < classes; ++c) {
      const double log_p = row[c] - highest - std::log(sum);
      const double target =
          smoothing / static_cast<double>(classes) + (c == labels[n] ? 1.0 - smoothing : 0.0);
      r.probabilities[n * classes + c] = std::exp(log_p);
      r.loss[n] -= target * log_p;
    }
  }
  return r;
}

Values SoftmaxCrossEntropyBackward(const Shape& shape, const Values& probabilities,
                                   const std::vector<int32_t>& labels, double smoothing) {
  const int64_t classes = shape.sample();
  Values d(probabilities);
  for (int64_t i = 0; i < shape.elements(); ++i) {
    d[i] -= smoothing / static_cast<double>(classes);
    if (i % classes == labels[i / classes]) d[i] -= 1.0 - smoothing;
  }
  return d;
}

}  // namespace encke::reference
