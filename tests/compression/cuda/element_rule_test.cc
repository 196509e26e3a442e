// The quick way to an element's code: as good as the rule itself wherever it says so.
#include "compression/cuda/element_rule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "compression/cuda/rule_tables.h"
#include "engine/core/rng.h"

namespace encke::cuda {
namespace {

template <typename T>
constexpr DType TypeOf() {
  return sizeof(T) == 4 ? DType::F32 : DType::BF16;
}

// `x` and its neighbours as elements.
template <typename T>
void AddNear(float x, std::vector<T>* elements) {
  T nearest;
  Narrow(x, &nearest);
  uint32_t bits = 0;
  std::memcpy(&bits, &nearest, sizeof(T));
  for (int i = -3; i <= 3; ++i) {
    const uint32_t moved = bits + static_cast<uint32_t>(i);
    std::memcpy(&nearest, &moved, sizeof(T));
    elements->push_back(nearest);
  }
}

// Ends and middles of cells around `from`, and what has no code.
template <typename T>
std::vector<T> Elements(float from, float width, Rng* rng) {
  std::vector<T> elements;
  for (int k = -260; k <= 260; ++k) AddNear(from + 0.5f * static_cast<float>(k) * width, &elements);
  for (int i = 0; i < 2000; ++i) {
    AddNear(from + 100 * width * static_cast<float>(rng->Normal()), &elements);
    AddNear(std::ldexp(static_cast<float>(rng->Normal()), i % 250 - 125), &elements);
  }
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (float x : {0.0f, -0.0f, kInfinity, -kInfinity, std::nanf("")}) AddNear(x, &elements);
  return elements;
}

// How many of the elements were quick.
template <typename Rule, typename T>
double ShareOfQuick(const std::vector<T>& elements, const typename Rule::Table& table) {
  int quick = 0;
  for (const T x : elements) {
    const ElementCode fast = Rule::QuickCode(x, table), exact = Rule::Quantize(x, table);
    if (!fast.good || fast.code > 255) continue;
    ++quick;
    EXPECT_TRUE(exact.good) << Widen(x);
    EXPECT_EQ(fast.code, exact.code) << Widen(x);
    EXPECT_EQ(fast.counted, exact.counted) << Widen(x);
  }
  return static_cast<double>(quick) / static_cast<double>(elements.size());
}

template <typename T>
class QuickCodeTest : public testing::Test {
 protected:
  template <typename Table>
  Table TableFor(const CodecOptions& options) {
    const Quantizer quantizer(options, TypeOf<T>(), 1);
    return TableAt(quantizer.Expand().tables(), 0, Table());
  }

  Rng rng_{1, RngStream::TEST};
};
using Types = testing::Types<float, uint16_t>;
TYPED_TEST_SUITE(QuickCodeTest, Types);

TYPED_TEST(QuickCodeTest, SignedIsTheRules) {
  for (float bound : {0.01f, 1e-30f, 1e30f}) {
    // As far from 0 as a center may be, too.
    for (double center : {0.0, 1000.0, -1000.0, 0x1p22, -0x1p22}) {
      CodecOptions options;
      options.bound = ErrorBound::Uniform(bound);
      const auto from = static_cast<float>(center * 2 * bound * CellShare(TypeOf<TypeParam>()));
      options.channel_center = {from};
      const auto table = this->template TableFor<UniformTable>(options);
      const auto elements = Elements<TypeParam>(from, table.decode.step, &this->rng_);
      const double share = ShareOfQuick<SignedRule>(elements, table);
      if (center == 0) {
        EXPECT_GT(share, 0.2);
      }
    }
  }
}

TYPED_TEST(QuickCodeTest, MaskIsTheRules) {
  for (float bound : {0.01f, 1e-30f, 1e30f, 0.0f}) {
    CodecOptions options;
    options.bound = ErrorBound::Uniform(bound);
    options.mask = true;
    const auto table = this->template TableFor<UniformTable>(options);
    const auto elements = Elements<TypeParam>(0.0f, table.decode.step, &this->rng_);
    const double share = ShareOfQuick<MaskRule>(elements, table);
    if (bound > 0) {
      EXPECT_GT(share, 0.2);
    }
  }
}

TYPED_TEST(QuickCodeTest, ActivityIsTheRules) {
  for (float bound : {0.01f, 1e-7f, 1e30f}) {
    for (float threshold : {0.0f, 0.3f, -100.0f}) {
      for (int sign : {-1, 0, 1}) {
        CodecOptions options;
        options.bound = ErrorBound::PerChannel({bound});
        options.activity.threshold = {threshold};
        options.activity.sign = {static_cast<int8_t>(sign)};
        options.activity.inactive_bound = {3 * bound};
        options.activity.centroid = {-100, 30, 127, -128};
        const auto table = this->template TableFor<ActivityTable>(options);
        const auto elements = Elements<TypeParam>(threshold, bound, &this->rng_);
        const double share = ShareOfQuick<ActivityRule>(elements, table);
        if (threshold == 0) {
          EXPECT_GT(share, 0.2);
        }
      }
    }
  }
}

}  // namespace
}  // namespace encke::cuda
