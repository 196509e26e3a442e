// Initial values follow PyTorch's definitions and depend on seed and name alone.
#include "layers/initialize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "layers/convolution.h"
#include "layers/fully_connected.h"

namespace encke {
namespace {

using Kind = Initializer::Kind;

std::vector<float> Draw(Kind kind, float value, const std::string& name = "conv1.weight",
                        uint64_t seed = 1) {
  // A convolution of 64 to 128 channels, 3x3, as its layer declares it.
  ConvolutionOptions options;
  options.out_channels = 128;
  options.window.kernel_h = options.window.kernel_w = 3;
  options.weight_init = {kind, value};
  const auto layer = NewConvolution(options);
  layer->InferShapes({{1, 8, 8, 64}});
  const ParameterSpec spec = layer->Parameters()[0];
  std::vector<float> values(spec.shape.elements());
  InitializeParameter(spec, name, seed, values.data());
  return values;
}

double StandardDeviation(const std::vector<float>& values) {
  double sum = 0, squares = 0;
  for (const float value : values) {
    sum += value;
    squares += static_cast<double>(value) * value;
  }
  const double mean = sum / values.size();
  return std::sqrt(squares / values.size() - mean * mean);
}

float Largest(const std::vector<float>& values) {
  float largest = 0;
  for (const float value : values) largest = std::max(largest, std::abs(value));
  return largest;
}

constexpr double kFanIn = 64 * 9, kFanOut = 128 * 9;

TEST(InitializeTest, NormalsHaveTheirDeviation) {
  const auto expect = [](const std::vector<float>& values, double deviation) {
    EXPECT_NEAR(StandardDeviation(values) / deviation, 1.0, 0.02);
    EXPECT_GT(Largest(values), 3 * deviation);  // tails: not uniform
  };
  expect(Draw(Kind::GAUSSIAN, 0.01f), 0.01);
  expect(Draw(Kind::KAIMING_NORMAL_FAN_IN, 0), std::sqrt(2 / kFanIn));
  expect(Draw(Kind::KAIMING_NORMAL_FAN_OUT, 0), std::sqrt(2 / kFanOut));
}

TEST(InitializeTest, UniformsHaveTheirBound) {
  const auto expect = [](const std::vector<float>& values, double bound) {
    EXPECT_LE(Largest(values), bound * (1 + 1e-6));
    EXPECT_GT(Largest(values), 0.999 * bound);
    EXPECT_NEAR(StandardDeviation(values) / (bound / std::sqrt(3.0)), 1.0, 0.02);
  };
  expect(Draw(Kind::XAVIER_UNIFORM, 0), std::sqrt(6 / (kFanIn + kFanOut)));
  expect(Draw(Kind::KAIMING_UNIFORM_FAN_IN, 0), std::sqrt(6 / kFanIn));
  expect(Draw(Kind::KAIMING_UNIFORM_FAN_IN, 2.2360680f), 1 / std::sqrt(kFanIn));
}

TEST(InitializeTest, ConstantIsConstant) {
  for (const float value : Draw(Kind::CONSTANT, 0.25f)) ASSERT_EQ(value, 0.25f);
}

TEST(InitializeTest, DependsOnSeedAndNameAlone) {
  const auto values = Draw(Kind::GAUSSIAN, 1);
  EXPECT_EQ(values, Draw(Kind::GAUSSIAN, 1));
  EXPECT_NE(values, Draw(Kind::GAUSSIAN, 1, "conv2.weight"));
  EXPECT_NE(values, Draw(Kind::GAUSSIAN, 1, "conv1.weight", 2));
}

TEST(InitializeTest, FullyConnectedBiasHasTheWeightsFanIn) {
  const auto layer = NewFullyConnected({});
  layer->InferShapes({{1, 4, 4, 16}});
  const std::vector<ParameterSpec> specs = layer->Parameters();
  EXPECT_EQ(specs[0].shape, (Shape{1, 1, 1, 256}));
  EXPECT_EQ(specs[1].fan_in, 256);
}

}  // namespace
}  // namespace encke
