// Errors that were made of patterns are found again, and what is not in them counts as white.
#include "engine/graph/noise_patterns.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/core/rng.h"

namespace encke {
namespace {

class SeparateTest : public testing::Test {
 protected:
  static constexpr int64_t kRows = 900, kChannels = 4;
  static constexpr double kBound = 0.1;

  SeparateTest() : rng_(3, RngStream::TEST), patterns_(kRows * kPatterns) {
    for (float& p : patterns_) p = static_cast<float>(100 * rng_.Normal());
  }
  // Mean errors a * bound and b * bound on the patterns' pixels, and noise beside.
  std::vector<float> Error(double a, double b, double noise) {
    std::vector<float> error(kRows * kChannels);
    for (int64_t i = 0; i < kRows * kChannels; ++i) {
      const float* p = &patterns_[i / kChannels * kPatterns];
      error[i] = static_cast<float>(kBound * (a * p[0] + b * p[1]) + noise * rng_.Normal());
    }
    return error;
  }

  // All parts together are what was measured.
  void ExpectAllParts(const NoiseSample& sample) {
    const PatternProducts p = ProductsOf(patterns_), &errors = sample.errors;
    const double unit = kBound * kBound / 3;
    EXPECT_NEAR(sample.white + unit * (errors.repeated * p.repeated + errors.others * p.others +
                                       2 * errors.both * p.both),
                sample.quotient, 1e-3 * sample.quotient);
  }

  Rng rng_;
  std::vector<float> patterns_;
};

TEST_F(SeparateTest, FindsMeanErrorsBesideNoise) {
  const NoiseSample sample = Separate(Error(0.5, -0.25, 2.0), kChannels, 1, patterns_, kBound, 1.0);
  EXPECT_NEAR(sample.white, 4.0, 0.3);
  EXPECT_NEAR(sample.errors.repeated, 3 * 0.25, 0.05);
  EXPECT_NEAR(sample.errors.others, 3 * 0.0625, 0.03);
  EXPECT_NEAR(sample.errors.both, 3 * -0.125, 0.03);
  ExpectAllParts(sample);
}

TEST_F(SeparateTest, NoMeanErrorExceedsTheBound) {
  const NoiseSample sample = Separate(Error(5.0, 0.0, 0.0), kChannels, 1, patterns_, kBound, 1.0);
  EXPECT_NEAR(sample.errors.repeated, 3.0, 1e-6);
  EXPECT_GT(sample.white, 0.0);
}

// Two pixels that are alike by chance make a pattern so small that its mean error would have to be
// far beyond the bound. The other pattern's must not make up for what is then cut off.
TEST_F(SeparateTest, WhatTheBoundForbidsIsLeftToNoPattern) {
  std::vector<float> error = Error(0.0, 0.0, 2.0);
  for (int64_t i = 0; i < kRows; ++i) {
    for (int64_t c = 1; c < kChannels; ++c) error[i * kChannels + c] = error[i * kChannels];
    float* p = &patterns_[i * kPatterns];
    p[0] = 1e-3f * (p[1] + 50 * error[i * kChannels]);
  }
  const NoiseSample sample = Separate(error, kChannels, 1, patterns_, kBound, 1.0);
  EXPECT_NEAR(sample.errors.repeated, 3.0, 1e-6);
  EXPECT_LT(sample.errors.others, 1e-3);
  EXPECT_LE(sample.white, sample.quotient);
  EXPECT_GT(sample.white, 0.98 * sample.quotient);
}

TEST_F(SeparateTest, GroupsHaveErrorsOfTheirOwn) {
  std::vector<float> error = Error(0.5, 0.0, 0.0);
  for (size_t i = 0; i < error.size() / 2; ++i) error[i] = -error[i];
  EXPECT_NEAR(Separate(error, kChannels, 2, patterns_, kBound, 1.0).white, 0.0, 1e-6);
  EXPECT_GT(Separate(error, kChannels, 1, patterns_, kBound, 1.0).white, 1.0);
}

// The less of the output gradients' sum is left in a group, the more its mean errors err.
TEST_F(SeparateTest, GroupsCountByTheirPatterns) {
  for (size_t i = 0; i < patterns_.size(); i += kPatterns) {
    patterns_[i] = 0;
    if (i >= patterns_.size() / 2) patterns_[i + 1] *= 0.1f;
  }
  const std::vector<float> error = Error(0.0, 0.5, 0.0);
  std::vector<float> half = error;
  for (size_t i = 0; i < half.size() / 2; ++i) half[i] = 0;
  for (const std::vector<float>& e : {error, half}) {
    ExpectAllParts(Separate(e, kChannels, 2, patterns_, kBound, 1.0));
  }
}

TEST_F(SeparateTest, WithoutRepeatedPixelsOneIsLeft) {
  for (size_t i = 0; i < patterns_.size(); i += kPatterns) patterns_[i] = 0;
  const NoiseSample sample = Separate(Error(0.5, 0.5, 0.0), kChannels, 1, patterns_, kBound, 1.0);
  EXPECT_EQ(sample.errors.repeated, 0.0);
  EXPECT_NEAR(sample.errors.others, 0.75, 1e-3);
  const std::vector<float> none(patterns_.size(), 0.0f);
  const NoiseSample white = Separate(Error(0, 0, 1.0), kChannels, 1, none, kBound, 1.0);
  EXPECT_DOUBLE_EQ(white.white, white.quotient);
}

}  // namespace
}  // namespace encke
