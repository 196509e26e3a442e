// The GPU's DENSE codec, emulated, gives the bytes of the CPU's and reads them.
#include "gtest/gtest.h"
#include "tests/compression/codec_testing.h"
#include "tests/compression/cuda/emulation.h"

namespace encke {
namespace {

using testing::Encoded;

const Codec& Dense() { return *FindCodec("dense"); }

TEST(DenseEmulation, GivesTheCpusBytesAndReadsThem) {
  int dense = 0;
  for (const Shape& shape : {Shape{1, 30, 10, 17}, Shape{2, 7, 7, 64}, Shape{1, 1, 999, 1}}) {
    auto inputs = testing::Inputs(shape.elements());
    inputs.push_back({"maps", testing::ReluMaps(shape, 3)});
    for (const testing::NamedInput& input : inputs) {
      for (const bool mask : {false, true}) {
        for (const float bound : {1e-6f, 1e-4f, 0.001f, 0.01f, 0.1f, 0.5f, 1e6f}) {
          const CodecOptions options = testing::Uniform(bound, mask);
          const void* data = input.values.data();
          const Encoded expected = testing::Encode(Dense(), data, DType::F32, shape, options);
          if (expected.coding->tables.empty()) continue;
          const testing::Emulated encoded = testing::EmulateDenseEncode(
              {data, data}, DType::F32, shape, *expected.coding, false)[1];
          if (expected.stream[0] != 0x12) {
            EXPECT_TRUE(encoded.stream.empty());
            continue;
          }
          ++dense;
          ASSERT_EQ(encoded.stream, expected.stream) << input.name << bound << mask;
          ASSERT_EQ(encoded.statistics.nonzero, expected.statistics.nonzero);
          ASSERT_EQ(encoded.statistics.escapes, expected.statistics.escapes);
          const auto decoded = testing::EmulateDenseDecode(
              {expected.stream, expected.stream}, DType::F32, shape, *expected.coding, true);
          ASSERT_TRUE(decoded[0].good && decoded[1].good) << input.name << bound << mask;
          ASSERT_EQ(decoded[1].bytes,
                    testing::Decode(Dense(), expected.stream, DType::F32, shape, *expected.coding));
        }
      }
    }
  }
  EXPECT_GT(dense, 20);
}

}  // namespace
}  // namespace encke
