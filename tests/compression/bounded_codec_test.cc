// The contract of codec.h, checked alike on every codec that keeps a bound.
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include "compression/dense_codec.h"
#include "compression/fast_codec.h"
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

using CodecFactory = std::function<std::unique_ptr<Codec>(const simd::Kernels&)>;

struct NamedFactory {
  std::string name;
  CodecFactory make;
};

class BoundedCodec : public ::testing::TestWithParam<NamedFactory> {
 protected:
  std::unique_ptr<Codec> codec_ = GetParam().make(simd::BestKernels());
};

CodecOptions PerChannel(int64_t channels, bool mask, bool centers) {
  CodecOptions options;
  options.mask = mask;
  for (int64_t c = 0; c < channels; ++c) {
    options.bound.channel.push_back(c % 7 == 3 ? 0.0f : 0.01f * static_cast<float>(c % 5 + 1));
    if (centers && !mask) {
      options.channel_center.push_back(static_cast<float>(c % 11) - 4.7f);
    }
  }
  return options;
}

// Signs, thresholds, bounds and centroids of all kinds side by side.
CodecOptions MixedActivity(int64_t channels) {
  CodecOptions options = PerChannel(channels, false, false);
  const float thresholds[] = {0.0f, -0.0f, 2.5f, 0.3f, -1.0f, 1e30f, 1e-40f, -3.4e38f, 1e-30f};
  for (int64_t c = 0; c < channels; ++c) {
    options.activity.threshold.push_back(thresholds[c % 9]);
    options.activity.sign.push_back(static_cast<int8_t>(c % 4 == 3 ? 0 : 1 - c % 2 * 2));
    options.activity.inactive_bound.push_back(c % 5 == 2 ? 0.0f : 0.3f * (c % 3 + 1));
    for (int m = 0; m < kCentroids; ++m) {
      options.activity.centroid.push_back(static_cast<int8_t>(85 * (c + m) - 128));
    }
  }
  return options;
}

std::vector<CodecOptions> ManyActivities(int64_t channels) {
  std::vector<CodecOptions> all = {MixedActivity(channels)};
  for (const float threshold : {0.0f, 2.5f, 1e-45f, -1e-39f, 1e30f, -3.4e38f}) {
    for (const auto& [bound, inactive_bound] :
         {std::pair(0.0f, 0.5f), {0.5f, 0.0f}, {0.01f, 1.0f}, {1e-45f, 3.4e38f}, {1e6f, 1e-30f}}) {
      all.push_back(testing::UniformActivity(channels, threshold, bound, inactive_bound));
    }
  }
  return all;
}

std::vector<CodecOptions> ManyOptions(int64_t channels) {
  std::vector<CodecOptions> all;
  for (const bool mask : {false, true}) {
    for (const float bound : {0.0f, 1e-45f, 1e-38f, 1e-30f, 1e-6f, 0.01f, 0.5f, 1e6f, 3.4e38f}) {
      all.push_back(Uniform(bound, mask));
    }
    all.push_back(PerChannel(channels, mask, false));
    all.push_back(PerChannel(channels, mask, true));
  }
  const std::vector<CodecOptions> activities = ManyActivities(channels);
  all.insert(all.end(), activities.begin(), activities.end());
  return all;
}

TEST_P(BoundedCodec, KeepsTheContractOnEveryInput) {
  for (const int64_t channels : {1, 3, 16, 17, 64, 100}) {
    const Shape shape{1, 1, 1009 / channels, channels};
    for (const testing::NamedInput& input : testing::Inputs(shape.elements())) {
      const std::vector<uint16_t> half = testing::ToBfloat16(input.values);
      for (const CodecOptions& options : ManyOptions(channels)) {
        const float* data = input.values.data();
        EXPECT_EQ(testing::RoundTripViolation(*codec_, data, DType::F32, shape, options), "")
            << input.name << ", C = " << channels << ", mask " << options.mask;
        EXPECT_EQ(testing::RoundTripViolation(*codec_, half.data(), DType::BF16, shape, options),
                  "")
            << input.name << " in bf16, C = " << channels << ", mask " << options.mask;
      }
    }
  }
}

TEST_P(BoundedCodec, HandlesEveryLength) {
  const std::vector<float> data = testing::Inputs(300)[0].values;
  for (int64_t n = 0; n < 300; ++n) {
    const Shape shape{1, 1, n, 1};
    EXPECT_EQ(testing::RoundTripViolation(*codec_, data.data(), DType::F32, shape,
                                          testing::UniformActivity(1, 0.2f, 0.01f, 0.5f)),
              "")
        << n;
    EXPECT_EQ(testing::RoundTripViolation(*codec_, data.data(), DType::F32, shape,
                                          Uniform(0.01f, n % 2 == 0)),
              "")
        << n;
  }
}

TEST_P(BoundedCodec, InactiveCellsComeBackAsTheirCentroid) {
  const Shape shape{1, 1, 120, 1};
  CodecOptions options = testing::UniformActivity(1, 2.0f, 0.01f, 0.5f);
  options.activity.centroid = {-128, -64, 0, 127};
  const float values[] = {1.9f, 1.6f, 1.2f, 0.6f, 0.1f, -0.2f};
  const float expected[] = {2, 2, 1.375f, 0.75f, 0.0025f, -0.2495f};
  std::vector<float> data(shape.elements()), decoded(shape.elements());
  for (size_t i = 0; i < data.size(); ++i) data[i] = values[i % 6];
  const Encoded encoded = Encode(*codec_, data.data(), DType::F32, shape, options);
  codec_->Decode(encoded.stream.data(), encoded.stream.size(), DType::F32, shape, *encoded.coding,
                 decoded.data());
  for (size_t i = 0; i < data.size(); ++i) EXPECT_NEAR(decoded[i], expected[i % 6], 0.0015f) << i;
  EXPECT_EQ(encoded.statistics.escapes, 0);
}

TEST_P(BoundedCodec, CountsActiveElements) {
  const Shape shape{1, 1, 60, 2};
  CodecOptions options = testing::UniformActivity(2, 1.0f, 0.01f, 0.5f);
  const float inf = std::numeric_limits<float>::infinity();
  const float values[] = {1.5f, 1.5f, 1, 1, 0, 0, inf, inf, -inf, -inf, std::nanf(""), 3};
  std::vector<float> data(shape.elements());
  for (size_t i = 0; i < data.size(); ++i) data[i] = values[i % 12];
  const auto count = [&] {
    return Encode(*codec_, data.data(), DType::F32, shape, options).statistics.nonzero;
  };
  EXPECT_EQ(count(), 40);
  options.activity.threshold = {3e38f, 3e38f};  // everything is an escape
  EXPECT_EQ(count(), 60);
}

// Every exponent and sign, with mantissas from a sparse set and at random.
TEST_P(BoundedCodec, KeepsTheContractOverAllExponents) {
  Rng rng(3, RngStream::TEST);
  std::vector<float> data;
  for (uint32_t head = 0; head < 512; ++head) {
    for (int k = 0; k < 128; ++k) {
      const uint32_t mantissa = k < 24 ? (1u << k) - 1 : rng.NextU32();
      const uint32_t bits = head << 23 | (mantissa & 0x7fffffu);
      float value;
      std::memcpy(&value, &bits, sizeof(value));
      data.push_back(value);
    }
  }
  const Shape shape = Shape::Vector(static_cast<int64_t>(data.size()));
  for (const CodecOptions& options : ManyOptions(shape.c)) {
    EXPECT_EQ(testing::RoundTripViolation(*codec_, data.data(), DType::F32, shape, options), "");
  }
}

TEST_P(BoundedCodec, AllInstructionSetsGiveTheReferencesBytes) {
  const std::unique_ptr<Codec> reference = GetParam().make(simd::ReferenceKernels());
  for (const simd::Kernels* kernels : simd::UsableKernels()) {
    const std::unique_ptr<Codec> codec = GetParam().make(*kernels);
    for (const int64_t channels : {1, 17, 100}) {
      const Shape shape{1, 4, 500 / channels, channels};
      for (const testing::NamedInput& input : testing::Inputs(shape.elements())) {
        const std::vector<uint16_t> half = testing::ToBfloat16(input.values);
        for (const CodecOptions& options : ManyOptions(channels)) {
          for (const DType dtype : {DType::F32, DType::BF16}) {
            const void* data =
                dtype == DType::F32 ? static_cast<const void*>(input.values.data()) : half.data();
            const Encoded expected = Encode(*reference, data, dtype, shape, options);
            const Encoded encoded = Encode(*codec, data, dtype, shape, options);
            ASSERT_EQ(encoded.stream, expected.stream) << kernels->name << ", " << input.name;
            ASSERT_EQ(encoded.statistics.nonzero, expected.statistics.nonzero);
            ASSERT_EQ(encoded.statistics.escapes, expected.statistics.escapes);
            ASSERT_EQ(encoded.statistics.sum_of_squares, expected.statistics.sum_of_squares);
            ASSERT_EQ(Decode(*codec, encoded.stream, dtype, shape, *encoded.coding),
                      Decode(*reference, encoded.stream, dtype, shape, *encoded.coding))
                << kernels->name << ", " << input.name;
          }
        }
      }
    }
  }
}

// Of several lengths; the fourth is no sample of the value and does not suit its code tables.
std::vector<std::vector<float>> ChunksOf(int64_t channels) {
  std::vector<std::vector<float>> chunks;
  for (const int64_t pixels : {400, 130, 270, 400, 10, 640, 640, 640, 90, 400, 400, 640, 70}) {
    chunks.push_back(testing::Inputs(pixels * channels)[0].values);
  }
  for (size_t i = 0; i < chunks[3].size(); i += 2) chunks[3][i] = std::nanf("");
  return chunks;
}

// All of them at once and one by one; then each is broken in turn.
void ExpectTogetherAsOneByOne(const Codec& codec, int64_t channels, const CodecOptions& options) {
  const std::vector<std::vector<float>> chunks = ChunksOf(channels);
  const auto count = static_cast<int>(chunks.size());
  const auto shape_of = [&](int i) {
    return Shape{1, static_cast<int64_t>(chunks[i].size()) / channels / 10, 10, channels};
  };
  const ValueCoding coding =
      *Encode(codec, chunks[0].data(), DType::F32, shape_of(0), options).coding;
  EXPECT_EQ(coding.tables.empty(), codec.name() == "fast");
  std::vector<std::vector<uint8_t>> streams(count), decoded(count);
  std::vector<EncodeRequest> encode;
  std::vector<DecodeRequest> decode;
  for (int i = 0; i < count; ++i) {
    streams[i].resize(codec.MaxEncodedSize(shape_of(i), DType::F32));
    decoded[i].resize(chunks[i].size() * sizeof(float));
    encode.push_back({chunks[i].data(), shape_of(i), streams[i].data(), 0, {}});
  }
  codec.Encode(DType::F32, coding, encode.data(), count);
  for (int i = 0; i < count; ++i) {
    std::vector<uint8_t> alone(streams[i].size());
    EncodeStatistics statistics;
    alone.resize(
        codec.Encode(chunks[i].data(), DType::F32, shape_of(i), coding, alone.data(), &statistics));
    streams[i].resize(encode[i].size);
    EXPECT_EQ(streams[i], alone) << "chunk " << i;
    EXPECT_EQ(encode[i].statistics.escapes, statistics.escapes);
    EXPECT_EQ(encode[i].statistics.sum_of_squares, statistics.sum_of_squares);
    decode.push_back({streams[i].data(), encode[i].size, shape_of(i), decoded[i].data()});
  }
  // Any number of them.
  for (int first = 0; first < count; ++first) {
    codec.Decode(DType::F32, coding, decode.data() + first, count - first);
    for (int i = first; i < count; ++i) {
      EXPECT_EQ(decoded[i], Decode(codec, streams[i], DType::F32, shape_of(i), coding));
      std::fill(decoded[i].begin(), decoded[i].end(), uint8_t{0});
    }
  }
  for (DecodeRequest& broken : decode) {
    broken.size /= 2;
    EXPECT_THROW(codec.Decode(DType::F32, coding, decode.data(), count), Error);
    broken.size = encode[&broken - decode.data()].size;
  }
}

TEST_P(BoundedCodec, ChunksTogetherAreAsOneByOne) {
  for (const simd::Kernels* kernels : simd::UsableKernels()) {
    const std::unique_ptr<Codec> codec = GetParam().make(*kernels);
    for (const int64_t channels : {17, 64, 100}) {
      for (const float bound : {0.01f, 0.1f, 1.0f}) {  // many tokens, and few
        SCOPED_TRACE(::testing::Message()
                     << kernels->name << ", " << channels << " channels, bound " << bound);
        CodecOptions masked = Uniform(bound, true);
        masked.checksum = true;
        ExpectTogetherAsOneByOne(*codec, channels, Uniform(bound, false));
        ExpectTogetherAsOneByOne(*codec, channels, masked);
        ExpectTogetherAsOneByOne(*codec, channels,
                                 testing::UniformActivity(channels, 0.2f, bound / 10, bound * 5));
      }
    }
  }
}

TEST_P(BoundedCodec, CountsWhatItSees) {
  const std::vector<float> data = {0, 1, -2, 0, 3, std::nanf(""), 0.5f};
  const Encoded encoded =
      Encode(*codec_, data.data(), DType::F32, Shape::Vector(7), Uniform(0.1f, false));
  EXPECT_EQ(encoded.statistics.elements, 7);
  EXPECT_EQ(encoded.statistics.nonzero, 5);
  EXPECT_EQ(encoded.statistics.escapes, 1);
  EXPECT_DOUBLE_EQ(encoded.statistics.sum_of_squares, 14.25);
}

// Decodes on every instruction set; whatever comes, it must not crash.
void DecodeHostile(const CodecFactory& make, const std::vector<uint8_t>& stream, const Shape& shape,
                   const ValueCoding& coding) {
  // An exact copy on the heap, so that a sanitizer sees any read past its end.
  const std::vector<uint8_t> exact(stream.begin(), stream.end());
  for (const simd::Kernels* kernels : simd::UsableKernels()) {
    try {
      Decode(*make(*kernels), exact, DType::F32, shape, coding);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::CORRUPTION);
    }
  }
}

TEST_P(BoundedCodec, SurvivesTruncationBitFlipsAndNoise) {
  Rng rng(5, RngStream::TEST);
  const Shape shape{1, 1, 27, 10};
  for (const testing::NamedInput& input : testing::Inputs(shape.elements())) {
    const CodecOptions options = input.name == "gaussian"
                                     ? testing::UniformActivity(shape.c, 0.2f, 0.01f, 0.5f)
                                     : Uniform(0.01f, input.name == "relu");
    const Encoded encoded = Encode(*codec_, input.values.data(), DType::F32, shape, options);
    const std::vector<uint8_t>& stream = encoded.stream;
    for (size_t n = 0; n < stream.size(); ++n) {
      const std::vector<uint8_t> cut(stream.begin(), stream.begin() + n);
      EXPECT_THROW(Decode(*codec_, cut, DType::F32, shape, *encoded.coding), Error)
          << input.name << n;
      DecodeHostile(GetParam().make, cut, shape, *encoded.coding);
    }
    for (size_t bit = 0; bit < stream.size() * 8; ++bit) {
      std::vector<uint8_t> flipped = stream;
      flipped[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
      DecodeHostile(GetParam().make, flipped, shape, *encoded.coding);
    }
    for (int round = 0; round < 200; ++round) {
      std::vector<uint8_t> noise = stream;
      for (size_t i = 1; i < noise.size(); ++i) noise[i] = static_cast<uint8_t>(rng.NextU32());
      DecodeHostile(GetParam().make, noise, shape, *encoded.coding);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, BoundedCodec,
                         ::testing::Values(NamedFactory{"fast",
                                                        [](const simd::Kernels& k) {
                                                          return std::make_unique<FastCodec>(k);
                                                        }},
                                           NamedFactory{"dense",
                                                        [](const simd::Kernels& k) {
                                                          return std::make_unique<DenseCodec>(k);
                                                        }}),
                         [](const auto& param_info) { return param_info.param.name; });

}  // namespace
}  // namespace encke
