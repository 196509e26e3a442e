// Every one of the 2^32 float patterns through the bounded codecs, with exact arithmetic for the
// check. Minutes long, so not among the fast tests:
//
//   bazel test -c opt //tests/slow:exhaustive_codec_test
#include <cmath>
#include <cstring>

#include "compression/codec.h"
#include "compression/quantizer_tables.h"
#include "compression/value_coding.h"
#include "gtest/gtest.h"

namespace encke {
namespace {

constexpr int64_t kChunk = 1 << 18;

// a - b = sum + rest exactly (Knuth's TwoSum).
struct ExactDifference {
  double sum, rest;
  ExactDifference(double a, double b) {
    sum = a - b;
    const double b_seen = a - sum;
    rest = (a - (sum + b_seen)) + (b_seen - b);
  }
  bool Above(double bound) const {
    return std::abs(sum) > bound || (std::abs(sum) == bound && (sum > 0 ? rest > 0 : rest < 0));
  }
};

enum class Mode { SIGNED, MASK, ACTIVITY };

struct Case {
  std::string codec;
  float bound;
  Mode mode;
  uint32_t factor;  // odd: in which order the patterns come, so which share a block
};

// Thresholds at 0 (above -0.0), a denormal, in the middle and far out, for either sign.
constexpr float kThresholds[] = {0.0f, 1e-40f, 0.3f, -1.7f, 1e10f, -3e-20f};
constexpr float kInactiveBound = 0.5f;

CodecOptions OptionsOf(const Case& test, int64_t channels) {
  CodecOptions options;
  options.bound = ErrorBound::Uniform(test.bound);
  options.mask = test.mode == Mode::MASK;
  for (int64_t c = 0; test.mode == Mode::ACTIVITY && c < channels; ++c) {
    options.activity.threshold.push_back(kThresholds[c % 6]);
    options.activity.sign.push_back(static_cast<int8_t>(c / 6 % 2 * 2 - 1));
    options.activity.inactive_bound.push_back(kInactiveBound);
    for (int m = 0; m < kCentroids; ++m) {
      options.activity.centroid.push_back(static_cast<int8_t>(85 * (c + m) - 128));
    }
  }
  return options;
}

bool Kept(float x, float y, float bound, bool mask) {
  if (!std::isfinite(x) || bound == 0) return std::memcmp(&x, &y, sizeof(x)) == 0;
  return std::isfinite(y) && !ExactDifference(x, y).Above(bound) && (!mask || (x > 0) == (y > 0));
}

// With an activity, for an element of channel `c`.
bool KeptSide(float x, float y, float bound, const Activity& activity, int64_t c) {
  const bool active = activity.Active(x, c);
  return Kept(x, y, active ? bound : activity.inactive_bound[c], false) &&
         (!std::isfinite(x) || activity.Active(y, c) == active);
}

class Exhaustive : public ::testing::TestWithParam<Case> {};

TEST_P(Exhaustive, NoPatternBreaksTheBound) {
  const Case& test = GetParam();
  const Codec& codec = *FindCodec(test.codec);
  const Shape shape{1, 64, 64, 64};
  ASSERT_EQ(shape.elements(), kChunk);
  const CodecOptions options = OptionsOf(test, shape.c);
  ValueCoding coding(options, DType::F32, shape.c);
  std::vector<float> x(kChunk), y(kChunk);
  std::vector<uint8_t> stream(codec.MaxEncodedSize(shape, DType::F32));
  EncodeStatistics statistics;
  int64_t violations = 0;
  for (uint64_t begin = 0; begin < uint64_t{1} << 32; begin += kChunk) {
    for (int64_t i = 0; i < kChunk; ++i) {
      const uint32_t bits = static_cast<uint32_t>(begin + i) * test.factor;
      std::memcpy(&x[i], &bits, sizeof(bits));
    }
    codec.Prepare({{x.data(), shape}}, DType::F32, &coding);
    const int64_t size =
        codec.Encode(x.data(), DType::F32, shape, coding, stream.data(), &statistics);
    codec.Decode(stream.data(), size, DType::F32, shape, coding, y.data());
    for (int64_t i = 0; i < kChunk; ++i) {
      violations += !(options.activity.empty()
                          ? Kept(x[i], y[i], test.bound, options.mask)
                          : KeptSide(x[i], y[i], test.bound, options.activity, i % shape.c));
    }
  }
  EXPECT_EQ(violations, 0);
}

INSTANTIATE_TEST_SUITE_P(All, Exhaustive,
                         ::testing::Values(Case{"fast", 0.01f, Mode::MASK, 1},
                                           Case{"fast", 0.01f, Mode::SIGNED, 0x9e3779b1},
                                           Case{"fast", 3.0f, Mode::MASK, 0x9e3779b1},
                                           Case{"dense", 1e-5f, Mode::SIGNED, 1},
                                           Case{"dense", 7e20f, Mode::MASK, 0x9e3779b1},
                                           Case{"fast", 1e-45f, Mode::SIGNED, 1},
                                           Case{"dense", 0.01f, Mode::ACTIVITY, 0x9e3779b1}));

}  // namespace
}  // namespace encke
