// The codec on a real GPU: the CPU's bytes, the CPU's elements, the contract of codec.h on every
// element, broken streams. Skipped where there is no GPU. What the emulated tests cover is not
// repeated: here it is whether the GPU does what the emulation does.
#include "tests/compression/cuda/gpu_codec.h"

#include <cstring>

#include "engine/core/rng.h"
#include "gtest/gtest.h"
#include "tests/compression/codec_testing.h"

namespace encke {
namespace {

using testing::GpuValue;

constexpr int64_t kChunkBytes = 16 << 10;

class GpuCodec : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (!testing::HasGpu()) GTEST_SKIP() << "no GPU";
  }

  const Codec& codec_ = *FindCodec(GetParam());

  std::unique_ptr<ValueCoding> CodingOf(const void* data, DType dtype, const Shape& shape,
                                        const CodecOptions& options) const {
    auto coding = std::make_unique<ValueCoding>(options, dtype, shape.c);
    codec_.Prepare({{data, shape}}, dtype, coding.get());
    return coding;
  }

  std::vector<uint8_t> CpuStream(const void* data, DType dtype, const Chunk& chunk,
                                 const ValueCoding& coding, EncodeStatistics* sum) const {
    std::vector<uint8_t> stream(codec_.MaxEncodedSize(chunk.shape, dtype));
    EncodeStatistics one;
    stream.resize(codec_.Encode(static_cast<const uint8_t*>(data) + chunk.offset * SizeOf(dtype),
                                dtype, chunk.shape, coding, stream.data(), &one));
    sum->Add(one);
    return stream;
  }

  // GPU and CPU give the same bytes, and each reads the other's.
  void Compare(const void* data, DType dtype, const Shape& shape, const CodecOptions& options) {
    const auto coding = CodingOf(data, dtype, shape, options);
    GpuValue value(data, dtype, shape, *coding, kChunkBytes);
    value.Encode();
    std::vector<uint8_t> expected;
    EncodeStatistics statistics;
    for (int64_t i = 0; i < value.chunking().count(); ++i) {
      const Chunk chunk = value.chunking().At(i);
      const std::vector<uint8_t> stream = CpuStream(data, dtype, chunk, *coding, &statistics);
      ASSERT_EQ(value.Stream(i), stream) << "chunk " << i;
      const auto elements = testing::Decode(codec_, stream, dtype, chunk.shape, *coding);
      expected.insert(expected.end(), elements.begin(), elements.end());
    }
    value.Decode(0, shape.n);
    ASSERT_EQ(value.Elements(shape.n), expected);
    EXPECT_EQ(testing::ContractViolation(data, expected.data(), dtype, shape, options), "");
    const cuda::ValueRecord record = value.Record();
    EXPECT_EQ(record.broken, ~0u);
    EXPECT_EQ(record.overflowed, 0u);
    EXPECT_EQ(record.nonzero, statistics.nonzero);
    EXPECT_EQ(record.escapes, statistics.escapes);
    EXPECT_NEAR(record.squares, statistics.sum_of_squares, 1e-5 * statistics.sum_of_squares);
    value.ForgetMarks();
    value.Decode(0, shape.n);
    ASSERT_EQ(value.Elements(shape.n), expected) << "without marks";
  }
};

TEST_P(GpuCodec, AgreesWithTheCpuOnEveryInput) {
  for (const Shape& shape : {Shape{5, 14, 14, 64}, Shape{7, 7, 7, 33}, Shape{3, 1, 1, 9001}}) {
    auto inputs = testing::Inputs(shape.elements());
    inputs.push_back({"maps", testing::ReluMaps(shape, 9)});
    for (const testing::NamedInput& input : inputs) {
      const std::vector<uint16_t> half = testing::ToBfloat16(input.values);
      for (const bool mask : {false, true}) {
        for (const float bound : {0.0f, 1e-6f, 0.01f, 0.1f, 1e6f}) {
          SCOPED_TRACE(input.name + " " + shape.ToString());
          Compare(input.values.data(), DType::F32, shape, testing::Uniform(bound, mask));
          Compare(half.data(), DType::BF16, shape, testing::Uniform(bound, mask));
          if (HasFatalFailure()) return;
        }
      }
      CodecOptions by_channel;
      for (int64_t c = 0; c < shape.c; ++c) {
        by_channel.bound.channel.push_back(0.01f * static_cast<float>(c % 5 + 1));
        by_channel.channel_center.push_back(static_cast<float>(c % 11) - 4.7f);
      }
      Compare(input.values.data(), DType::F32, shape, by_channel);
      ASSERT_FALSE(HasFatalFailure()) << input.name;
    }
  }
}

TEST_P(GpuCodec, FetchesAnySamples) {
  const Shape shape{5, 14, 14, 64};
  const std::vector<float> data = testing::ReluMaps(shape, 9);
  const auto coding = CodingOf(data.data(), DType::F32, shape, testing::Uniform(0.1f, true));
  GpuValue value(data.data(), DType::F32, shape, *coding, kChunkBytes);
  value.Encode();
  value.Decode(0, shape.n);
  const std::vector<uint8_t> all = value.Elements(shape.n);
  for (int64_t first = 0; first < shape.n; ++first) {
    value.Decode(first, shape.n - first);
    const auto begin = all.begin() + first * shape.sample() * 4;
    EXPECT_EQ(value.Elements(shape.n - first), std::vector<uint8_t>(begin, all.end())) << first;
  }
}

// Meant to run under compute-sanitizer, too.
TEST_P(GpuCodec, SurvivesBrokenStreams) {
  Rng rng(3, RngStream::TEST);
  const Shape shape{2, 7, 7, 64};
  const std::vector<float> data = testing::ReluMaps(shape, 9);
  const auto coding = CodingOf(data.data(), DType::F32, shape, testing::Uniform(0.1f, true));
  GpuValue value(data.data(), DType::F32, shape, *coding, kChunkBytes);
  int noticed = 0;
  for (int round = 0; round < 100; ++round) {
    value.Encode();
    std::vector<uint8_t> stream = value.Stream(0);
    for (int k = 0; k < 3; ++k) {
      stream[rng.Below(stream.size())] ^= static_cast<uint8_t>(1 + rng.Below(255));
    }
    if (round % 2 == 0) stream.resize(1 + rng.Below(stream.size()));
    value.ReplaceStream(0, stream);
    value.Decode(0, shape.n);
    noticed += value.Record().broken != ~0u;
  }
  EXPECT_GT(noticed, 50);
}

INSTANTIATE_TEST_SUITE_P(All, GpuCodec, ::testing::Values("fast", "dense"),
                         [](const auto& param_info) { return param_info.param; });

}  // namespace
}  // namespace encke
