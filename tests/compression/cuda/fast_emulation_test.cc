// The GPU's FAST codec, emulated, gives the bytes of the CPU's and reads them.
#include "gtest/gtest.h"
#include "tests/compression/codec_testing.h"
#include "tests/compression/cuda/emulation.h"

namespace encke {
namespace {

using testing::Encoded;

const Codec& Fast() { return *FindCodec("fast"); }

TEST(FastEmulation, GivesTheCpusBytesAndReadsThem) {
  const Shape shape{1, 1, 300, 17};
  for (const testing::NamedInput& input : testing::Inputs(shape.elements())) {
    for (const bool mask : {false, true}) {
      for (const float bound : {0.0f, 1e-30f, 1e-6f, 0.01f, 0.5f, 1e6f}) {
        const CodecOptions options = testing::Uniform(bound, mask);
        const Encoded expected =
            testing::Encode(Fast(), input.values.data(), DType::F32, shape, options);
        const testing::Emulated encoded = testing::EmulateFastEncode(
            input.values.data(), DType::F32, shape, *expected.coding, false);
        ASSERT_EQ(encoded.stream, expected.stream) << input.name << bound << mask;
        ASSERT_EQ(encoded.statistics.nonzero, expected.statistics.nonzero);
        ASSERT_EQ(encoded.statistics.escapes, expected.statistics.escapes);
        if (expected.stream[0] != 0x11) continue;
        const testing::EmulatedElements decoded =
            testing::EmulateFastDecode(expected.stream, DType::F32, shape, *expected.coding, true);
        ASSERT_TRUE(decoded.good);
        ASSERT_EQ(decoded.bytes,
                  testing::Decode(Fast(), expected.stream, DType::F32, shape, *expected.coding));
      }
    }
  }
}

}  // namespace
}  // namespace encke
