// What codecs fast and raw promise beyond the contract of codec.h.
#include "compression/fast_codec.h"

#include <cstring>

#include "compression/simd/dispatch.h"
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

const Codec& Fast() { return *FindCodec("fast"); }

TEST(FastCodec, ShrinksWhatTrainingStores) {
  const Shape shape{1, 28, 28, 16};
  const std::vector<float> relu = testing::ReluMaps(shape, 1);
  const int64_t raw = shape.elements() * 4;
  const auto size = [&](const std::vector<float>& data, const CodecOptions& options) {
    return static_cast<int64_t>(
        Encode(Fast(), data.data(), DType::F32, shape, options).stream.size());
  };
  EXPECT_GT(raw, 12 * size(relu, Uniform(0.25f, true)));
  EXPECT_GT(raw,
            10 * size(testing::Inputs(shape.elements())[0].values, Uniform(0.25f, false)) * 9 / 10);
  EXPECT_GT(raw, 200 * size(std::vector<float>(shape.elements()), Uniform(0.1f, true)));
  // Incompressible data costs one byte more than it is long.
  EXPECT_EQ(size(testing::Inputs(shape.elements())[6].values, Uniform(1e-45f, false)), raw + 1);
}

TEST(FastCodec, OneOutlierCostsLittle) {
  std::vector<float> data = testing::Inputs(64)[0].values;
  const Shape shape = Shape::Vector(64);
  const CodecOptions options = Uniform(0.25f, false);
  const size_t without = Encode(Fast(), data.data(), DType::F32, shape, options).stream.size();
  data[17] = 1e30f;
  const size_t with = Encode(Fast(), data.data(), DType::F32, shape, options).stream.size();
  EXPECT_LE(with, without + 13);
}

TEST(FastCodec, CentersTakeOutAChannelsMean) {
  const Shape shape{1, 1, 256, 16};
  std::vector<float> data = testing::Inputs(shape.elements())[0].values;
  CodecOptions options = Uniform(0.25f, false);
  const size_t without_mean = Encode(Fast(), data.data(), DType::F32, shape, options).stream.size();
  for (int64_t i = 0; i < shape.elements(); ++i) data[i] += static_cast<float>(i % 16);
  for (int c = 0; c < 16; ++c) options.channel_center.push_back(static_cast<float>(c));
  const size_t centered = Encode(Fast(), data.data(), DType::F32, shape, options).stream.size();
  EXPECT_LT(centered, without_mean * 1.02);
}

// Rounding to bfloat16 makes hardly an element leave its bound.
TEST(FastCodec, Bfloat16TakesHardlyMoreBitsThanFloats) {
  const Shape shape{1, 16, 16, 64};
  Rng rng(1, RngStream::TEST);
  for (const float mean : {0.0f, 3.0f}) {
    std::vector<float> values(shape.elements());
    for (float& x : values) x = mean + static_cast<float>(rng.Normal());
    const std::vector<uint16_t> halves = testing::ToBfloat16(values);
    for (const CodecOptions& options :
         {Uniform(0.3f, false), testing::UniformActivity(shape.c, mean, 0.3f, 0.6f)}) {
      const Encoded as_floats = Encode(Fast(), values.data(), DType::F32, shape, options);
      const Encoded as_halves = Encode(Fast(), halves.data(), DType::BF16, shape, options);
      EXPECT_LT(static_cast<double>(as_halves.stream.size()),
                1.03 * static_cast<double>(as_floats.stream.size()));
      EXPECT_LT(as_halves.statistics.escapes, shape.elements() / 1000);
    }
  }
}

TEST(RawCodec, KeepsEveryBitAndRefusesOtherSizes) {
  const Codec& raw = *FindCodec("raw");
  const std::vector<float> data = testing::Inputs(100)[2].values;
  const Shape shape = Shape::Vector(100);
  const CodecOptions options = Uniform(0.1f, false);
  const Encoded encoded = Encode(raw, data.data(), DType::F32, shape, options);
  std::vector<uint8_t> stream = encoded.stream;
  EXPECT_EQ(
      std::memcmp(Decode(raw, stream, DType::F32, shape, *encoded.coding).data(), data.data(), 400),
      0);
  stream.pop_back();
  EXPECT_THROW(Decode(raw, stream, DType::F32, shape, *encoded.coding), Error);
  EXPECT_THROW(Decode(raw, {}, DType::F32, shape, *encoded.coding), Error);
}

TEST(Codecs, AreFoundByName) {
  for (const std::string& name : CodecNames()) EXPECT_EQ(FindCodec(name)->name(), name);
  EXPECT_EQ(FindCodec("zip"), nullptr);
}

}  // namespace
}  // namespace encke
