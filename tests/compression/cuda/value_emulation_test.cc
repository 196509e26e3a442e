// Whole values on emulated warps: chunk tables, marks, arena and slices, as the pool's kernels use
// them.
#include <cstring>

#include "engine/core/rng.h"
#include "gtest/gtest.h"
#include "tests/compression/codec_testing.h"
#include "tests/compression/cuda/emulation.h"

namespace encke {
namespace {

using testing::EmulatedValue;

constexpr int64_t kChunkBytes = 16 << 10;
constexpr uint64_t kPlenty = 4 << 20;

struct Case {
  std::string codec;
  DType dtype;
  bool mask;
};

std::vector<Case> Cases() {
  std::vector<Case> cases;
  for (const std::string codec : {"fast", "dense"}) {
    for (const DType dtype : {DType::F32, DType::BF16}) {
      for (const bool mask : {false, true}) cases.push_back({codec, dtype, mask});
    }
  }
  return cases;
}

// Maps with one sample full of what no codec can shrink.
struct Data {
  Data(const Shape& shape, const Case& c) : floats(testing::ReluMaps(shape, 9)) {
    Rng rng(1, RngStream::TEST);
    for (int64_t i = 0; i < shape.sample(); ++i) {
      const uint32_t bits = rng.NextU32();
      std::memcpy(&floats[i], &bits, sizeof(bits));
    }
    half = testing::ToBfloat16(floats);
    raw = c.dtype == DType::F32 ? static_cast<const void*>(floats.data()) : half.data();
    bytes = SizeOf(c.dtype);
  }
  const uint8_t* At(int64_t element) const {
    return static_cast<const uint8_t*>(raw) + element * bytes;
  }

  std::vector<float> floats;
  std::vector<uint16_t> half;
  const void* raw;
  int64_t bytes;
};

// Coding as the pool has it, learnt from a sample that is not the incompressible one.
std::unique_ptr<ValueCoding> CodingOf(const Case& c, const Data& data, const Shape& shape) {
  auto coding = std::make_unique<ValueCoding>(testing::Uniform(0.1f, c.mask), c.dtype, shape.c);
  FindCodec(c.codec)->Prepare({{data.At(shape.sample()), shape.WithBatch(shape.n - 1)}}, c.dtype,
                              coding.get());
  return coding;
}

TEST(ValueEmulation, StoresWhatTheCpuWouldAndFetchesAnySamples) {
  for (const Shape& shape : {Shape{5, 14, 14, 64}, Shape{7, 7, 7, 33}, Shape{3, 1, 1, 9001}}) {
    for (const Case& c : Cases()) {
      const Data data(shape, c);
      const auto coding = CodingOf(c, data, shape);
      const Codec& codec = *FindCodec(c.codec);
      EmulatedValue value(data.raw, c.dtype, shape, *coding, kChunkBytes, kPlenty, false);
      ASSERT_EQ(value.record().overflowed, 0u);
      std::vector<uint8_t> expected;
      EncodeStatistics statistics;
      for (int64_t i = 0; i < value.chunking().count(); ++i) {
        const Chunk chunk = value.chunking().At(i);
        std::vector<uint8_t> stream(codec.MaxEncodedSize(chunk.shape, c.dtype));
        EncodeStatistics one;
        stream.resize(codec.Encode(data.At(chunk.offset), c.dtype, chunk.shape, *coding,
                                   stream.data(), &one));
        statistics.Add(one);
        ASSERT_EQ(value.Stream(i), stream) << c.codec << i;
        const auto elements = testing::Decode(codec, stream, c.dtype, chunk.shape, *coding);
        expected.insert(expected.end(), elements.begin(), elements.end());
      }
      EXPECT_EQ(value.statistics().nonzero, statistics.nonzero);
      EXPECT_EQ(value.statistics().escapes, statistics.escapes);
      const int64_t sample = shape.sample() * data.bytes;
      for (int64_t first = 0; first < shape.n; ++first) {
        for (int64_t count = 1; first + count <= shape.n; ++count) {
          const auto begin = expected.begin() + first * sample;
          ASSERT_EQ(value.Decode(first, count), std::vector<uint8_t>(begin, begin + count * sample))
              << c.codec << " " << first << "+" << count;
        }
      }
      EXPECT_EQ(value.record().broken, ~0u);
    }
  }
}

TEST(ValueEmulation, AFullArenaIsNoticedAndNothingIsWrittenBehindIt) {
  const Shape shape{3, 14, 14, 64};
  for (const Case& c : Cases()) {
    const Data data(shape, c);
    const auto coding = CodingOf(c, data, shape);
    for (const uint64_t capacity : {16, 512, 20000}) {
      EmulatedValue value(data.raw, c.dtype, shape, *coding, kChunkBytes, capacity, true);
      EXPECT_NE(value.record().overflowed, 0u);
      EXPECT_GT(value.record().end, capacity);  // what it would have taken
    }
  }
}

// Streams and marks alike. Whatever comes out, no access is out of bounds (a sanitizer sees it).
TEST(ValueEmulation, SurvivesDamageAnywhere) {
  Rng rng(2, RngStream::TEST);
  const Shape shape{3, 7, 7, 64};
  int noticed = 0;
  for (const Case& c : Cases()) {
    const Data data(shape, c);
    const auto coding = CodingOf(c, data, shape);
    for (int round = 0; round < 60; ++round) {
      EmulatedValue value(data.raw, c.dtype, shape, *coding, kChunkBytes, kPlenty, false);
      // Behind the chunk table, which only the pool's own kernels write.
      const uint64_t table = value.chunking().count() * sizeof(cuda::StoredChunk);
      for (int k = 0; k < 3; ++k) {
        const uint64_t at = table + rng.Below(value.record().end - table);
        value.arena().data()[at] ^= static_cast<uint8_t>(1 + rng.Below(255));
      }
      value.Decode(0, shape.n);
      noticed += value.record().broken != ~0u;
    }
  }
  EXPECT_GT(noticed, 20);
}

}  // namespace
}  // namespace encke
