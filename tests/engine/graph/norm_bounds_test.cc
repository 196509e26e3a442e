// The threshold of a batch norm with a ReLU is exact to the last float.
#include "engine/graph/norm_bounds.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "engine/backend/backend.h"
#include "engine/core/rng.h"

namespace encke {
namespace {

// By the backend itself.
bool Passes(Backend& backend, const NormChannel& c, float x) {
  const auto tensor = [&](float value) {
    Tensor t =
        Tensor::Empty(backend.allocator(), Shape::Vector(1), DType::F32, MemoryCategory::TRANSIENT);
    t.data<float>()[0] = value;
    return t;
  };
  const Tensor y = tensor(0);
  // inv_std 1, so that the scale is gamma.
  backend.BatchNormApply({tensor(c.mean), tensor(1), tensor(c.scale), tensor(c.shift), true},
                         tensor(x), y);
  return y.data<float>()[0] > 0;
}

TEST(NormBoundsTest, ThresholdDividesWhatTheReluPassesFromWhatItStops) {
  auto backend = NewBackend({});
  Rng rng(5, RngStream::TEST);
  for (int i = 0; i < 300; ++i) {
    const double magnitude = std::pow(10.0, 12 * rng.Uniform() - 6);
    NormChannel c;
    c.mean = static_cast<float>(rng.Normal() * magnitude);
    c.scale = static_cast<float>(rng.Normal() / magnitude);
    c.shift = static_cast<float>(rng.Normal());
    const float threshold = ReluThreshold(c);
    const float infinity = std::numeric_limits<float>::infinity();
    const float beyond = std::nextafter(threshold, c.scale > 0 ? infinity : -infinity);
    EXPECT_FALSE(Passes(*backend, c, threshold)) << c.mean << " " << c.scale << " " << c.shift;
    EXPECT_TRUE(Passes(*backend, c, beyond)) << c.mean << " " << c.scale << " " << c.shift;
  }
}

TEST(NormBoundsTest, ChannelsThatNothingOrEverythingPasses) {
  const float most = std::numeric_limits<float>::max();
  EXPECT_EQ(ReluThreshold({0, 1, 1e-39f, -1e10f}), most);
  EXPECT_EQ(ReluThreshold({0, 1, 1e-39f, 1e10f}), -most);
  EXPECT_EQ(ReluThreshold({0, 1, -1e-39f, 1e10f}), most);
  EXPECT_EQ(ReluThreshold({0, 1, -1e-39f, -1e10f}), -most);
}

TEST(NormBoundsTest, BoundsFollowTheScaleOnTheActiveSideOnly) {
  const std::vector<NormChannel> channels = {{0, 2, 4, 0}, {0, 2, 0, 1}, {0, 2, 0.001f, 0}};
  const CodecOptions bounds = SidedBounds(channels, {0.25, 0.5, 0.02, {}});
  EXPECT_FLOAT_EQ(bounds.bound.channel[0], 0.02f / 4);
  EXPECT_FLOAT_EQ(bounds.bound.channel[1], 0.25f / 2) << "y does not depend on x";
  EXPECT_FLOAT_EQ(bounds.bound.channel[2], 0.25f / 2) << "y hardly depends on x";
  EXPECT_FLOAT_EQ(bounds.activity.inactive_bound[0], 0.5f / 2);
  EXPECT_EQ(bounds.activity.sign, (std::vector<int8_t>{1, 0, 1}));
  const CodecOptions limited = SidedBounds(channels, {0.25, 0.5, 0.02, {0.01f, 0.01f, 1.0f}});
  EXPECT_FLOAT_EQ(limited.bound.channel[0], 0.01f / 4) << "y itself may be wrong by so much only";
  EXPECT_FLOAT_EQ(limited.bound.channel[2], 0.25f / 2);
  const CodecOptions lossless = SidedBounds({{NAN, 1, 1, 0}}, {0.25, 0.5, 0.02, {}});
  EXPECT_TRUE(lossless.activity.empty());
  EXPECT_EQ(lossless.bound.uniform, 0);
}

}  // namespace
}  // namespace encke
