// The formulas of doc/error-propagation.md against the reference implementations: what a bounded
// error in a saved value does to the gradients that read it.
#include <gtest/gtest.h>

#include <cmath>

#include "compression/bound_controller.h"
#include "engine/core/rng.h"
#include "layers/convolution.h"
#include "tests/reference/reference.h"

namespace encke {
namespace {

using reference::Values;

Values Normal(Rng& rng, int64_t count) {
  Values values(count);
  for (double& value : values) value = rng.Normal();
  return values;
}

// Errors, white and uniform within the bound.
Values Uniform(Rng& rng, int64_t count, double bound) {
  Values values(count);
  for (double& value : values) value = bound * (2 * rng.Uniform() - 1);
  return values;
}

Values Sum(Values a, const Values& b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

double Squares(const Values& values) {
  double sum = 0;
  for (const double value : values) sum += value * value;
  return sum;
}

double Rms(const Values& values) {
  return std::sqrt(Squares(values) / static_cast<double>(values.size()));
}

ConvolutionOptions Conv(int64_t kernel, int64_t stride, int64_t pad) {
  ConvolutionOptions options;
  options.out_channels = 12;
  ConvOptions& o = options.window;
  o.kernel_h = o.kernel_w = kernel;
  o.stride_h = o.stride_w = stride;
  o.pad_top = o.pad_bottom = o.pad_left = o.pad_right = pad;
  return options;
}

TEST(ErrorPropagation, TheWeightGradientsNoiseIsTheFormulas) {
  constexpr double kBound = 0.1;
  Rng rng(1, RngStream::TEST);
  for (const int64_t pixels : {2, 3, 9}) {
    for (const ConvolutionOptions& options : {Conv(3, 1, 1), Conv(5, 2, 2), Conv(1, 1, 0)}) {
      const Shape x{4, pixels, pixels, 24};
      const auto layer = NewConvolution(options);
      const Shape y = layer->InferShapes({x}).at(0);
      const Values dy = Normal(rng, y.elements());
      Values error = Uniform(rng, x.elements(), kBound);
      for (size_t i = 0; i < error.size(); ++i) error[i] *= i % 4 == 0;  // a quarter is not zero
      GradientStatistics statistics;
      statistics.output_gradient_squares = Squares(dy);
      statistics.output_channels = y.c;
      statistics.share_inside = layer->ShareInside();
      const double measured = Rms(reference::ConvBackwardFilter(options.window, x, error, y, dy));
      EXPECT_NEAR(measured / BoundController::FormulaSigma(statistics, 0.25, kBound), 1.0, 0.12)
          << options.window.kernel_h << " on " << pixels;
    }
  }
}

// One draw of values and gradients for batch norm, exact and with errors in the input.
struct NormCase {
  static constexpr double kFraction = 0.25;  // b: the bound over the channel's deviation
  static constexpr double kGamma = 1.5;
  Shape shape{4, 12, 12, 48};
  double count = 4 * 12 * 12;  // M
  Values x, dy, inv_std;
  reference::BatchNormGradients exact, lossy;

  NormCase() {
    Rng rng(2, RngStream::TEST);
    x = Normal(rng, shape.elements());
    const Values gamma(shape.c, kGamma), beta(shape.c, 0.0);
    const reference::BatchNormed forward = reference::BatchNormForward(1e-5, shape, x, gamma, beta);
    inv_std = forward.inv_std;
    dy = Normal(rng, shape.elements());
    for (size_t i = 0; i < dy.size(); ++i) dy[i] += 0.2 * x[i];  // so that dgamma is not noise only
    Values error = Uniform(rng, shape.elements(), kFraction);
    for (size_t i = 0; i < error.size(); ++i) error[i] /= inv_std[i % shape.c];
    exact = reference::BatchNormBackward(shape, x, gamma, forward.mean, inv_std, dy);
    lossy = reference::BatchNormBackward(shape, Sum(x, error), gamma, forward.mean, inv_std, dy);
  }

  // Of channel c: sum of dy^2, or of |dy|.
  double Over(int64_t c, bool squares) const {
    double sum = 0;
    for (size_t i = c; i < dy.size(); i += shape.c)
      sum += squares ? dy[i] * dy[i] : std::abs(dy[i]);
    return sum;
  }
};

TEST(ErrorPropagation, BatchNormsScaleGradientStaysWithinItsBound) {
  const NormCase norm;
  double quotients = 0;
  for (int64_t c = 0; c < norm.shape.c; ++c) {
    const double error = norm.lossy.dgamma[c] - norm.exact.dgamma[c];
    EXPECT_LE(std::abs(error), norm.kFraction * norm.Over(c, false));
    quotients += error * error * 3 / (norm.kFraction * norm.kFraction * norm.Over(c, true));
    EXPECT_EQ(norm.lossy.dbeta[c], norm.exact.dbeta[c]);
  }
  EXPECT_NEAR(std::sqrt(quotients / static_cast<double>(norm.shape.c)), 1.0, 0.2);
}

TEST(ErrorPropagation, BatchNormsInputGradientStaysWithinItsBound) {
  const NormCase norm;
  const double b = norm.kFraction;
  double measured = 0, predicted = 0, leading = 0;
  for (int64_t c = 0; c < norm.shape.c; ++c) {
    const double scale = norm.kGamma * norm.inv_std[c] / norm.count;
    const double dgamma = norm.exact.dgamma[c], most = b * norm.Over(c, false);
    for (size_t i = c; i < norm.x.size(); i += norm.shape.c) {
      const double error = norm.lossy.dx[i] - norm.exact.dx[i];
      measured += error * error;
      leading += std::pow(scale * norm.count * norm.dy[i], 2);
      const double normalised = std::abs(norm.x[i]) * norm.inv_std[c] + 0.2;  // mean is within 0.2
      EXPECT_LE(std::abs(error), scale * (normalised * most + b * std::abs(dgamma) + b * most));
    }
    predicted += norm.count * scale * scale * b * b / 3 * (norm.Over(c, true) + dgamma * dgamma);
  }
  EXPECT_NEAR(std::sqrt(measured / predicted), 1.0, 0.2);
  EXPECT_LT(std::sqrt(measured / leading), 0.05) << "small against the gradient itself";
}

// d dx[j] / d x[m] of LRN at one pixel, as derived in the document.
class LrnJacobian {
 public:
  LrnJacobian(const LrnOptions& options, const double* x, const double* dy, int64_t channels)
      : o_(options), x_(x), dy_(dy), channels_(channels), n_(static_cast<double>(options.size)) {}

  double At(int64_t j, int64_t m) const {
    const double c = 2.0 * o_.alpha * o_.beta / n_;
    double value = 0, both = 0, own = 0;
    for (int64_t i = 0; i < channels_; ++i) {
      if (!Meet(i, j)) continue;
      own += dy_[i] * x_[i] * Power(i, 1);
      if (Meet(i, m)) both += dy_[i] * x_[i] * Power(i, 2);
    }
    if (Meet(j, m)) value += dy_[j] * Power(j, 1) * x_[m] + x_[j] * dy_[m] * Power(m, 1);
    if (j == m) value += own;
    value -= (o_.beta + 1) * 2 * o_.alpha / n_ * x_[j] * x_[m] * both;
    return -c * value;
  }

 private:
  bool Meet(int64_t a, int64_t b) const { return std::abs(a - b) <= o_.size / 2; }
  double Power(int64_t i, int more) const {  // s_i^(-beta - more)
    double s = o_.k;
    for (int64_t j = 0; j < channels_; ++j) s += Meet(i, j) ? o_.alpha / n_ * x_[j] * x_[j] : 0;
    return std::pow(s, -o_.beta - more);
  }

  LrnOptions o_;
  const double *x_, *dy_;
  int64_t channels_;
  double n_;
};

TEST(ErrorPropagation, LrnsInputGradientStaysWithinItsBound) {
  constexpr double kBound = 0.02;
  const Shape shape{3, 4, 4, 16};
  for (const float alpha : {1e-4f, 0.5f}) {  // AlexNet's, and one whose effect is large
    LrnOptions options;
    options.alpha = alpha;
    Rng rng(3, RngStream::TEST);
    const Values x = Normal(rng, shape.elements()), dy = Normal(rng, shape.elements());
    const Values lossy_x = Sum(x, Uniform(rng, shape.elements(), kBound));
    const Values exact = reference::LrnBackward(options, shape, x, dy);
    const Values lossy = reference::LrnBackward(options, shape, lossy_x, dy);
    double measured = 0, predicted = 0;
    for (int64_t pixel = 0; pixel < shape.elements(); pixel += shape.c) {
      const LrnJacobian jacobian(options, &x[pixel], &dy[pixel], shape.c);
      for (int64_t j = 0; j < shape.c; ++j) {
        const double error = lossy[pixel + j] - exact[pixel + j];
        double most = 0;
        for (int64_t m = 0; m < shape.c; ++m) {
          most += kBound * std::abs(jacobian.At(j, m));
          predicted += kBound * kBound / 3 * std::pow(jacobian.At(j, m), 2);
        }
        EXPECT_LE(std::abs(error), 1.2 * most + 1e-12);  // 1.2: what is of second order
        measured += error * error;
      }
    }
    EXPECT_NEAR(std::sqrt(measured / predicted), 1.0, 0.1) << alpha;
    const double relative = std::sqrt(measured / Squares(exact));
    EXPECT_LT(relative, 4 * alpha * options.beta * kBound) << "relative to the gradient";
  }
}

}  // namespace
}  // namespace encke
