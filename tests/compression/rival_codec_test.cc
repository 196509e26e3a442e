// The rivals: lossless ones lose nothing, the others keep masks and come near.
#include <cmath>
#include <cstring>

#include "engine/core/error.h"
#include "engine/core/rng.h"
#include "gtest/gtest.h"
#include "tests/compression/codec_testing.h"

namespace encke {
namespace {

using testing::Decode;
using testing::Encode;
using testing::Encoded;
using testing::Uniform;

const Codec& Named(const std::string& name) { return *FindCodec(name); }

std::vector<float> DecodeFloats(const Codec& codec, const Encoded& encoded, const Shape& shape) {
  const std::vector<uint8_t> bytes =
      Decode(codec, encoded.stream, DType::F32, shape, *encoded.coding);
  std::vector<float> floats(shape.elements());
  std::memcpy(floats.data(), bytes.data(), bytes.size());
  return floats;
}

double RootMeanSquareError(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::pow(static_cast<double>(a[i]) - b[i], 2);
  return std::sqrt(sum / static_cast<double>(a.size()));
}

TEST(LosslessCodec, LosesNothing) {
  for (const testing::NamedInput& input : testing::Inputs(1001)) {
    const Shape shape{1, 1, 143, 7};
    const std::vector<uint16_t> half = testing::ToBfloat16(input.values);
    const CodecOptions exact = Uniform(0, true);
    EXPECT_EQ(testing::RoundTripViolation(Named("lossless"), input.values.data(), DType::F32, shape,
                                          exact),
              "")
        << input.name;
    EXPECT_EQ(
        testing::RoundTripViolation(Named("lossless"), half.data(), DType::BF16, shape, exact), "")
        << input.name;
  }
}

TEST(LosslessCodec, ShrinksSparseData) {
  const Shape shape{1, 28, 28, 16};
  const std::vector<float> relu = testing::ReluMaps(shape, 1);
  const Encoded encoded =
      Encode(Named("lossless"), relu.data(), DType::F32, shape, Uniform(0, true));
  EXPECT_LT(encoded.stream.size() * 3 / 2, relu.size() * 4);
}

TEST(QuantCodec, StaysWithinAStepAndIsUnbiased) {
  const Shape shape{4, 8, 8, 64};
  const std::vector<float> x = testing::Inputs(shape.elements())[0].values;
  for (const int bits : {2, 4, 8}) {
    const Codec& codec = Named("quant" + std::to_string(bits));
    EXPECT_FALSE(codec.bounded());
    const Encoded encoded = Encode(codec, x.data(), DType::F32, shape, Uniform(0, false));
    // Two floats for each group of 256.
    EXPECT_EQ(encoded.stream.size(), 1 + x.size() * bits / 8 + x.size() / 256 * 8);
    double bias = 0;
    constexpr int kSeeds = 16;
    for (int seed = 0; seed < kSeeds; ++seed) {
      CodecOptions options = Uniform(0, false);
      options.seed = seed;
      const std::vector<float> y =
          DecodeFloats(codec, Encode(codec, x.data(), DType::F32, shape, options), shape);
      for (size_t i = 0; i < x.size(); ++i) {
        EXPECT_LE(std::abs(y[i] - x[i]), 9.0 / ((1 << bits) - 1));
        bias += y[i] - x[i];
      }
    }
    EXPECT_LT(std::abs(bias) / static_cast<double>(x.size() * kSeeds), 0.01 / ((1 << bits) - 1));
  }
}

TEST(QuantCodec, DrawsFromTheSeedAndNothingElse) {
  const Shape shape{1, 8, 8, 16};
  const std::vector<float> x = testing::Inputs(shape.elements())[0].values;
  const auto stream = [&](uint64_t seed) {
    CodecOptions options = Uniform(0, false);
    options.seed = seed;
    return Encode(Named("quant2"), x.data(), DType::F32, shape, options).stream;
  };
  EXPECT_EQ(stream(1), stream(1));
  EXPECT_NE(stream(1), stream(2));
}

TEST(QuantCodec, ReachesOverTheWholeRangeOfFloats) {
  const std::vector<float> x = {-3e38f, 3e38f, 0.0f, 1.0f};
  const Shape shape = Shape::Vector(4);
  const Encoded encoded = Encode(Named("quant2"), x.data(), DType::F32, shape, Uniform(0, false));
  const std::vector<float> y = DecodeFloats(Named("quant2"), encoded, shape);
  EXPECT_EQ(y[0], x[0]);
  EXPECT_NEAR(y[1], x[1], 1e33);
}

TEST(JpegCodec, MeetsTheErrorOfItsBound) {
  const Shape shape{2, 30, 27, 8};
  const std::vector<float> x = testing::ReluMaps(shape, 3);
  for (const float bound : {0.02f, 0.2f}) {
    const Encoded encoded =
        Encode(Named("jpeg"), x.data(), DType::F32, shape, Uniform(bound, false));
    const double error = RootMeanSquareError(x, DecodeFloats(Named("jpeg"), encoded, shape));
    EXPECT_LT(error, bound / std::sqrt(3) * 1.1);
    EXPECT_GT(error, bound / std::sqrt(3) * 0.7);
    EXPECT_LT(encoded.stream.size() * (bound < 0.1f ? 2 : 5), x.size() * sizeof(float));
  }
}

class RivalCodec : public ::testing::TestWithParam<std::string> {};

TEST_P(RivalCodec, KeepsMasksAndFiniteness) {
  for (const testing::NamedInput& input : testing::Inputs(1001)) {
    const Shape shape{1, 13, 11, 7};
    const Encoded encoded =
        Encode(Named(GetParam()), input.values.data(), DType::F32, shape, Uniform(0.1f, true));
    const std::vector<float> y = DecodeFloats(Named(GetParam()), encoded, shape);
    for (size_t i = 0; i < y.size(); ++i) {
      if (!std::isfinite(input.values[i])) continue;
      EXPECT_EQ(y[i] > 0, input.values[i] > 0) << input.name << i;
    }
  }
}

TEST_P(RivalCodec, SurvivesTruncationAndBitFlips) {
  const Shape shape{1, 9, 9, 3};
  const std::vector<float> x = testing::ReluMaps(shape, 4);
  const Codec& codec = Named(GetParam());
  const Encoded encoded = Encode(codec, x.data(), DType::F32, shape, Uniform(0.05f, true));
  for (size_t n = 0; n < encoded.stream.size(); ++n) {
    const std::vector<uint8_t> cut(encoded.stream.begin(), encoded.stream.begin() + n);
    EXPECT_THROW(Decode(codec, cut, DType::F32, shape, *encoded.coding), Error);
  }
  for (size_t bit = 0; bit < encoded.stream.size() * 8; ++bit) {
    std::vector<uint8_t> flipped = encoded.stream;
    flipped[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    try {
      Decode(codec, flipped, DType::F32, shape, *encoded.coding);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::CORRUPTION);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, RivalCodec,
                         ::testing::Values("lossless", "quant2", "quant4", "quant8", "jpeg"));

}  // namespace
}  // namespace encke
