// The GPU's codecs on an emulated warp, chunk by chunk: the CPU's bytes out of them, and the CPU's
// answer to every stream, whole or broken.
#include "engine/core/error.h"
#include "engine/core/rng.h"
#include "gtest/gtest.h"
#include "tests/compression/codec_testing.h"
#include "tests/compression/cuda/emulation.h"

namespace encke {
namespace {

using testing::Emulated;
using testing::EmulatedElements;
using testing::Encoded;

constexpr uint8_t kFastHead = 0x11, kDenseHead = 0x12;

CodecOptions PerChannel(int64_t channels, bool mask) {
  CodecOptions options;
  options.mask = mask;
  for (int64_t c = 0; c < channels; ++c) {
    options.bound.channel.push_back(c % 7 == 3 ? 0.0f : 0.01f * static_cast<float>(c % 5 + 1));
    if (!mask) options.channel_center.push_back(static_cast<float>(c % 11) - 4.7f);
  }
  return options;
}

// Thresholds of all kinds, with centroids.
CodecOptions WithActivity(int64_t channels, float bound, float inactive_bound) {
  CodecOptions options = testing::Uniform(bound, false);
  Activity& activity = options.activity;
  for (int64_t c = 0; c < channels; ++c) {
    activity.threshold.push_back(0.25f * static_cast<float>(c % 5 - 2));
    activity.sign.push_back(static_cast<int8_t>(c % 7 == 6 ? 0 : c % 3 == 1 ? -1 : 1));
    activity.inactive_bound.push_back(c % 11 == 10 ? 0.0f : inactive_bound);
    for (int m = 0; m < kCentroids; ++m) {
      activity.centroid.push_back(static_cast<int8_t>(-68 + 37 * m + c));
    }
  }
  return options;
}

std::vector<CodecOptions> ManyOptions(int64_t channels) {
  std::vector<CodecOptions> all;
  for (const bool mask : {false, true}) {
    for (const float bound : {0.0f, 1e-45f, 1e-30f, 1e-6f, 0.001f, 0.01f, 0.5f, 1e6f, 3.4e38f}) {
      all.push_back(testing::Uniform(bound, mask));
    }
    all.push_back(PerChannel(channels, mask));
  }
  all.push_back(WithActivity(channels, 0.02f, 0.3f));
  all.push_back(WithActivity(channels, 0.0005f, 0.01f));
  return all;
}

class ChunkEmulation : public ::testing::TestWithParam<std::string> {
 protected:
  const Codec& codec_ = *FindCodec(GetParam());

  // Empty where this codec leaves the chunk to another.
  Emulated Encode(const void* data, DType dtype, const Shape& shape, const ValueCoding& coding,
                  bool backwards) const {
    if (GetParam() == "fast") {
      return testing::EmulateFastEncode(data, dtype, shape, coding, backwards);
    }
    if (coding.tables.empty()) return {};
    return testing::EmulateDenseEncode({data, data}, dtype, shape, coding, backwards)[1];
  }

  bool CanDecode(const std::vector<uint8_t>& stream) const {
    return !stream.empty() && stream[0] == (GetParam() == "fast" ? kFastHead : kDenseHead);
  }
  EmulatedElements Decode(const std::vector<uint8_t>& stream, DType dtype, const Shape& shape,
                          const ValueCoding& coding, bool backwards) const {
    if (GetParam() == "fast") {
      return testing::EmulateFastDecode(stream, dtype, shape, coding, backwards);
    }
    return testing::EmulateDenseDecode({stream}, dtype, shape, coding, backwards)[0];
  }

  // Counts the chunks that the codec really coded.
  void CompareWithCpu(const void* data, DType dtype, const Shape& shape,
                      const CodecOptions& options, int* coded) const {
    const Encoded expected = testing::Encode(codec_, data, dtype, shape, options);
    for (const bool backwards : {false, true}) {
      const Emulated encoded = Encode(data, dtype, shape, *expected.coding, backwards);
      if (encoded.stream.empty()) {
        ASSERT_NE(expected.stream[0], kDenseHead);
        continue;
      }
      ASSERT_EQ(encoded.stream, expected.stream);
      ASSERT_EQ(encoded.statistics.nonzero, expected.statistics.nonzero);
      ASSERT_EQ(encoded.statistics.escapes, expected.statistics.escapes);
      const double squares = expected.statistics.sum_of_squares;
      ASSERT_NEAR(encoded.statistics.sum_of_squares, squares, 1e-5 * squares);
      if (!CanDecode(encoded.stream)) continue;
      ++*coded;
      const EmulatedElements decoded =
          Decode(encoded.stream, dtype, shape, *expected.coding, backwards);
      ASSERT_TRUE(decoded.good);
      ASSERT_EQ(decoded.bytes,
                testing::Decode(codec_, encoded.stream, dtype, shape, *expected.coding));
    }
  }

  // The CPU's answer: nothing where it finds the stream broken.
  std::vector<uint8_t> CpuElements(const std::vector<uint8_t>& stream, const Shape& shape,
                                   const ValueCoding& coding) const {
    try {
      return testing::Decode(codec_, stream, DType::F32, shape, coding);
    } catch (const Error&) {
      return {};
    }
  }

  void CompareHostile(const std::vector<uint8_t>& stream, const Shape& shape,
                      const ValueCoding& coding) const {
    if (!CanDecode(stream)) return;
    const std::vector<uint8_t> expected = CpuElements(stream, shape, coding);
    const EmulatedElements decoded = Decode(stream, DType::F32, shape, coding, false);
    ASSERT_EQ(decoded.good, !expected.empty());
    if (decoded.good) {
      ASSERT_EQ(decoded.bytes, expected);
    }
  }
};

TEST_P(ChunkEmulation, GivesTheCpusBytesOnEveryInput) {
  int coded = 0;
  for (const Shape& shape : {Shape{1, 1, 1009, 1}, Shape{1, 5, 11, 17}, Shape{2, 4, 5, 64},
                             Shape{1, 2, 15, 100}, Shape{1, 1, 1, 5000}}) {
    std::vector<testing::NamedInput> inputs = testing::Inputs(shape.elements());
    inputs.push_back({"maps", testing::ReluMaps(shape, 5)});
    for (const testing::NamedInput& input : inputs) {
      const std::vector<uint16_t> half = testing::ToBfloat16(input.values);
      for (const CodecOptions& options : ManyOptions(shape.c)) {
        SCOPED_TRACE(input.name + " " + shape.ToString());
        CompareWithCpu(input.values.data(), DType::F32, shape, options, &coded);
        CompareWithCpu(half.data(), DType::BF16, shape, options, &coded);
        if (HasFatalFailure()) return;
      }
    }
  }
  EXPECT_GT(coded, 100);
}

TEST_P(ChunkEmulation, HandlesEveryLength) {
  const std::vector<float> data = testing::Inputs(300)[0].values;
  int coded = 0;
  for (int64_t n = 1; n < 300; ++n) {
    CompareWithCpu(data.data(), DType::F32, {1, 1, n, 1}, testing::Uniform(0.1f, n % 2 == 0),
                   &coded);
    ASSERT_FALSE(HasFatalFailure()) << n;
  }
  EXPECT_GT(coded, 100);
}

TEST_P(ChunkEmulation, AnswersHostileBytesAsTheCpuDoes) {
  Rng rng(5, RngStream::TEST);
  const Shape shape{1, 3, 9, 16};
  for (const testing::NamedInput& input : testing::Inputs(shape.elements())) {
    const CodecOptions options = testing::Uniform(0.05f, input.name == "relu");
    const Encoded encoded =
        testing::Encode(codec_, input.values.data(), DType::F32, shape, options);
    const std::vector<uint8_t>& stream = encoded.stream;
    for (size_t n = 1; n < stream.size(); ++n) {
      CompareHostile({stream.begin(), stream.begin() + static_cast<int64_t>(n)}, shape,
                     *encoded.coding);
    }
    for (size_t bit = 8; bit < stream.size() * 8; ++bit) {
      std::vector<uint8_t> flipped = stream;
      flipped[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
      CompareHostile(flipped, shape, *encoded.coding);
    }
    for (int round = 0; round < 100; ++round) {
      std::vector<uint8_t> noise = stream;
      for (size_t i = 1; i < noise.size(); ++i) noise[i] = static_cast<uint8_t>(rng.NextU32());
      CompareHostile(noise, shape, *encoded.coding);
    }
    ASSERT_FALSE(HasFatalFailure()) << input.name;
  }
}

INSTANTIATE_TEST_SUITE_P(All, ChunkEmulation, ::testing::Values("fast", "dense"),
                         [](const auto& param_info) { return param_info.param; });

}  // namespace
}  // namespace encke
