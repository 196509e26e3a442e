// The DENSE codec's kernels against the reference, with code tables of every form and codes of
// every size: whatever the tables, all instruction sets give the same bytes, and several chunks at
// a time what each gives alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "compression/dense_codec.h"
#include "compression/dense_tables.h"
#include "compression/quantizer.h"
#include "compression/simd/dispatch.h"
#include "compression/stream.h"
#include "engine/core/error.h"
#include "engine/core/rng.h"
#include "tests/compression/codec_testing.h"

namespace encke {
namespace {

constexpr int kChunks = 8;

struct TableForm {
  QuantizerMode mode;
  int tokens, shift, kind;

  int lowest() const {
    if (mode == QuantizerMode::MASK) return 0;
    return mode == QuantizerMode::ACTIVITY ? 1 - tokens / 2 : -(tokens % 3) * tokens / 3;
  }
};

std::ostream& operator<<(std::ostream& out, const TableForm& form) {
  return out << "mode " << static_cast<int>(form.mode) << ", " << form.tokens << " tokens, shift "
             << form.shift << ", context kind " << form.kind;
}

// The compact form (dense_tables.cc) with weights and contexts at random.
std::vector<uint8_t> CompactTables(const TableForm& form, Rng& rng) {
  const auto lowest = static_cast<uint16_t>(form.lowest());
  const auto met = static_cast<uint16_t>(rng.NextU32());
  std::vector<uint8_t> bytes = {static_cast<uint8_t>(form.tokens), static_cast<uint8_t>(form.shift),
                                static_cast<uint8_t>(form.kind),   static_cast<uint8_t>(lowest),
                                static_cast<uint8_t>(lowest >> 8), static_cast<uint8_t>(met),
                                static_cast<uint8_t>(met >> 8)};
  const int contexts = 1 + simd::Popcount(met);
  for (int i = 0; i < form.tokens * contexts; ++i) {
    bytes.push_back(static_cast<uint8_t>(rng.Below(0xc1)));
  }
  return bytes;
}

// Cells are 1 wide, on both sides of thresholds, too.
CodecOptions OptionsOf(QuantizerMode mode, int64_t channels) {
  const auto half = static_cast<float>(0.5 / CellShare(DType::F32));
  if (mode != QuantizerMode::ACTIVITY) return testing::Uniform(half, mode == QuantizerMode::MASK);
  return testing::UniformActivity(channels, 0, half, 2 * half);
}

// Numbers of cells that the tokens cover, and one in fifty of any size, also the greatest there
// are.
std::vector<float> ElementsOf(const TableForm& form, int64_t count, Rng& rng) {
  const float greatest[] = {32767, 32768, -32767, -32768, 65534, 65535, 65536, 1e30f, -1e30f};
  std::vector<float> elements(count);
  for (float& x : elements) {
    const auto value = static_cast<int>(rng.Below(form.tokens)) + form.lowest();
    const auto low = static_cast<int>(rng.Below(1 << form.shift));
    // Otherwise active cells alone are shifted, and count from 1.
    int code = (value * (1 << form.shift)) + low;
    if (form.mode != QuantizerMode::SIGNED) {
      code = value > 0 ? ((value - 1) << form.shift) + 1 + low : value;
    }
    auto cell = static_cast<float>(code);
    if (rng.Below(50) == 0) {
      cell += std::nearbyint(static_cast<float>(rng.Normal()) *
                             std::exp2(static_cast<float>(rng.Below(160)) * 0.1f));
    }
    if (rng.Below(200) == 0) cell = greatest[rng.Below(9)];
    x = form.mode == QuantizerMode::SIGNED ? cell : cell - 0.5f;
    if (form.mode == QuantizerMode::MASK && cell <= 0) x = 0;
  }
  return elements;
}

// What `form` makes of eight chunks, of different lengths.
class DenseKernels {
 public:
  DenseKernels(const TableForm& form, int64_t channels, Rng& rng)
      : reference_(simd::ReferenceKernels()),
        coding_(OptionsOf(form.mode, channels), DType::F32, channels) {
    coding_.tables = CompactTables(form, rng);
    EXPECT_TRUE(AreDenseTables(coding_.tables, form.mode));
    for (int i = 0; i < kChunks; ++i) {
      shapes_.push_back({1, 1 + static_cast<int64_t>(rng.Below(5)), 5, channels});
      elements_.push_back(ElementsOf(form, shapes_[i].elements(), rng));
      std::vector<uint8_t> stream(reference_.MaxEncodedSize(shapes_[i], DType::F32));
      EncodeStatistics statistics;
      stream.resize(reference_.Encode(elements_[i].data(), DType::F32, shapes_[i], coding_,
                                      stream.data(), &statistics));
      streams_.push_back(stream);
      escapes_.push_back(statistics.escapes);
      decoded_.push_back(DecodeAlone(i, stream));
    }
  }

  // Of which the rest has too many escapes.
  int64_t dense() const {
    return std::count_if(streams_.begin(), streams_.end(), [](const std::vector<uint8_t>& s) {
      return ReadStreamHead(s.data(), static_cast<int64_t>(s.size())) == StreamKind::DENSE;
    });
  }

  void ExpectTheSameStreams(const Codec& codec, int count) const {
    std::vector<std::vector<uint8_t>> streams(count);
    std::vector<EncodeRequest> requests;
    for (int i = 0; i < count; ++i) {
      streams[i].resize(codec.MaxEncodedSize(shapes_[i], DType::F32));
      requests.push_back({elements_[i].data(), shapes_[i], streams[i].data(), 0, {}});
    }
    codec.Encode(DType::F32, coding_, requests.data(), count);
    for (int i = 0; i < count; ++i) {
      streams[i].resize(requests[i].size);
      EXPECT_EQ(streams[i], streams_[i]) << "chunk " << i << " of " << count;
      EXPECT_EQ(requests[i].statistics.escapes, escapes_[i]);
    }
  }

  void ExpectTheSameElements(const Codec& codec, int count) const {
    std::vector<std::vector<uint8_t>> decoded = Decode(codec, streams_, count);
    decoded.resize(count);
    for (int i = 0; i < count; ++i) EXPECT_EQ(decoded[i], decoded_[i]) << i << " of " << count;
  }

  // One chunk with a byte changed among good ones: an error where the reference has one.
  void ExpectTheSameOfABrokenOne(const Codec& codec, int broken, Rng& rng) const {
    std::vector<std::vector<uint8_t>> streams = streams_;
    std::vector<uint8_t>& stream = streams[broken];
    // Behind the head, which says what the stream is: sizes, states, words and raw bits.
    const auto at = 1 + rng.Below(static_cast<uint32_t>(stream.size() - 1));
    stream[at] ^= static_cast<uint8_t>(1 + rng.Below(255));
    std::vector<std::vector<uint8_t>> expected = decoded_;
    try {
      expected[broken] = DecodeAlone(broken, stream);
    } catch (const Error&) {
      EXPECT_THROW(Decode(codec, streams, kChunks), Error) << "byte " << at;
      return;
    }
    EXPECT_EQ(Decode(codec, streams, kChunks), expected) << "byte " << at;
  }

 private:
  std::vector<uint8_t> DecodeAlone(int chunk, const std::vector<uint8_t>& stream) const {
    std::vector<uint8_t> elements(shapes_[chunk].elements() * sizeof(float));
    reference_.Decode(stream.data(), static_cast<int64_t>(stream.size()), DType::F32,
                      shapes_[chunk], coding_, elements.data());
    return elements;
  }

  std::vector<std::vector<uint8_t>> Decode(const Codec& codec,
                                           const std::vector<std::vector<uint8_t>>& streams,
                                           int count) const {
    std::vector<std::vector<uint8_t>> exact, decoded;  // sanitizers see what is read beyond
    std::vector<DecodeRequest> requests;
    for (int i = 0; i < count; ++i) {
      exact.emplace_back(streams[i].begin(), streams[i].end());
      decoded.emplace_back(shapes_[i].elements() * sizeof(float));
    }
    for (int i = 0; i < count; ++i) {
      requests.push_back(
          {exact[i].data(), static_cast<int64_t>(exact[i].size()), shapes_[i], decoded[i].data()});
    }
    codec.Decode(DType::F32, coding_, requests.data(), count);
    return decoded;
  }

  DenseCodec reference_;
  ValueCoding coding_;
  std::vector<Shape> shapes_;
  std::vector<std::vector<float>> elements_;
  std::vector<std::vector<uint8_t>> streams_, decoded_;
  std::vector<int64_t> escapes_;
};

class DenseKernelsTest : public ::testing::TestWithParam<QuantizerMode> {};

TEST_P(DenseKernelsTest, AllAreAsTheReference) {
  Rng rng(5, RngStream::TEST);
  const int64_t channels[] = {17, 64, 100};
  int64_t number = 0, dense = 0;
  const int least = GetParam() == QuantizerMode::ACTIVITY ? 4 : 2;
  const int most = GetParam() == QuantizerMode::MASK ? simd::kMaskTokens : simd::kTokens;
  for (int tokens = least; tokens <= most; ++tokens) {
    for (int shift = 0; shift <= simd::kMaxShift; ++shift, ++number) {
      const TableForm form = {GetParam(), tokens, shift,
                              static_cast<int>(number % simd::kContextKinds)};
      SCOPED_TRACE(::testing::Message() << form);
      const DenseKernels expected(form, channels[number % 3], rng);
      dense += expected.dense();
      for (const simd::Kernels* kernels : simd::UsableKernels()) {
        SCOPED_TRACE(kernels->name);
        const DenseCodec codec(*kernels);
        expected.ExpectTheSameStreams(codec, 1 + static_cast<int>(number % 5));
        for (int count = 1; count <= kChunks; ++count) {
          expected.ExpectTheSameElements(codec, count);
        }
        for (int i = 0; i < kChunks; ++i) expected.ExpectTheSameOfABrokenOne(codec, i, rng);
      }
    }
  }
  EXPECT_GT(dense, number * kChunks * 8 / 10);
}

INSTANTIATE_TEST_SUITE_P(Modes, DenseKernelsTest,
                         ::testing::Values(QuantizerMode::SIGNED, QuantizerMode::MASK,
                                           QuantizerMode::ACTIVITY));

}  // namespace
}  // namespace encke
