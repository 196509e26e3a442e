// Inputs of batch norms at the ends of residual blocks: found, derived within their bound where
// that costs little, kept where it does not.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "engine/graph/block_end_bounds.h"
#include "tests/engine/graph/test_networks.h"
#include "tests/engine/graph/trainee.h"

namespace encke {
namespace {

constexpr double kFraction = 0.25;

TEST(ChooseDerivationTest, CostsTheBitsThatTighterBoundsTake) {
  const std::vector<float> gamma(8, 1.0f);
  const double limit = kFraction / std::sqrt(2.0);
  const Derivation easy = ChooseDerivation(gamma, kFraction, {limit / 3, limit});
  EXPECT_TRUE(easy.derived) << easy.reason;
  EXPECT_EQ(easy.extra_bits, 0);
  ASSERT_EQ(easy.limits.size(), 8u);
  EXPECT_FLOAT_EQ(easy.limits[5], static_cast<float>(limit));
  const Derivation dear = ChooseDerivation(gamma, kFraction, {8 * limit, 4 * limit});
  EXPECT_FALSE(dear.derived);
  EXPECT_DOUBLE_EQ(dear.extra_bits, 2.5);  // 3 and 2 bits of the active half
  EXPECT_TRUE(dear.limits.empty()) << "what is kept asks nothing of others";
  EXPECT_EQ(dear.reason, "at 2.5 bits an element");
}

TEST(ChooseDerivationTest, KeepsWhatCannotBeDividedOut) {
  std::vector<float> gamma(8, 1.0f);
  for (float small : {0.0f, 1e-5f, std::nanf("")}) {
    gamma[3] = small;
    const Derivation derivation = ChooseDerivation(gamma, kFraction, {});
    EXPECT_FALSE(derivation.derived) << small;
    EXPECT_NE(derivation.reason.find("1 of 8 scales"), std::string::npos) << derivation.reason;
  }
  gamma[3] = -0.5f;
  EXPECT_TRUE(ChooseDerivation(gamma, kFraction, {}).derived) << "a negative scale is as good";
}

TEST(SumBoundsTest, SidesAreThoseOfTheRelu) {
  const Derivation derivation = ChooseDerivation({2.0f, -1.0f}, kFraction, {});
  const CodecOptions options = SumBounds({0.1f, 0.2f}, derivation, 0.5);
  EXPECT_TRUE(options.activity.Active(1e-30f, 0));
  EXPECT_FALSE(options.activity.Active(0.0f, 1));
  EXPECT_FLOAT_EQ(options.BoundOf(0.3f, 1), 0.2f);
  EXPECT_FLOAT_EQ(options.BoundOf(-0.3f, 0), 1.0f);
}

// The largest errors that both may have, in the directions that add up.
TEST(DerivedInputTest, KeepsTheBoundThatIsReported) {
  const auto backend = NewBackend({});
  const auto tensor = [&](const std::vector<float>& values) {
    const auto count = static_cast<int64_t>(values.size());
    const Tensor made = Tensor::Empty(backend->allocator(), Shape::Vector(count), DType::F32,
                                      MemoryCategory::TRANSIENT);
    std::copy(values.begin(), values.end(), made.data<float>());
    return made;
  };
  const std::vector<float> gamma = {1.5f, -0.02f, 0.7f, 3.0f}, inv_std = {0.5f, 4.0f, 1.0f, 20.0f};
  const NormChannels norm = {tensor({1, -2, 0, 5}), tensor(inv_std), tensor(gamma),
                             tensor({0.1f, 2, -1, 0}), false};
  const std::vector<float> limits = ChooseDerivation(gamma, kFraction, {}).limits;
  const Tensor x = tensor({1.5f, -2.2f, 3, 5.01f}), shortcut = tensor({0, 1.7f, 0.3f, 9});
  const Tensor sum = tensor({0, 0, 0, 0}), derived = tensor({0, 0, 0, 0});
  backend->BatchNormApply(norm, x, sum);
  backend->Add(sum, shortcut, sum);
  for (int c = 0; c < 4; ++c) {
    sum.data<float>()[c] += limits[c];
    shortcut.data<float>()[c] -= limits[c];
  }
  backend->BatchNormInvert(norm, sum, shortcut, derived);
  for (int c = 0; c < 4; ++c) {
    const double error = std::abs(double{derived.data<float>()[c]} - x.data<float>()[c]);
    const double bound = std::sqrt(2.0) * kFraction / inv_std[c];
    EXPECT_LE(error, bound * 1.0001) << c;
    EXPECT_GE(error, bound * 0.9999) << c << ": all of it is used";
  }
}

PlanOptions Options(bool derive, int64_t slice = 0) {
  PlanOptions options = InSlices(slice);
  options.derive = derive;
  return options;
}

std::map<std::string, ActivationRecord> NormInputs(const Executor& executor) {
  std::map<std::string, ActivationRecord> found;
  for (const ActivationRecord& record : executor.records()) {
    if (record.kind == "norm_input") found[record.layer] = record;
  }
  return found;
}

// Of every block whose shortcut is kept: not of those that project it.
TEST(BlockEndsTest, OneTensorIsKeptInPlaceOfTwo) {
  Trainee with(BottleneckNetwork(), Options(true)), without(BottleneckNetwork(), Options(false));
  EXPECT_EQ(with.executor().plan().block_ends.size(), 1u)
      << "block1 projects, block3 feeds no weights";
  EXPECT_TRUE(without.executor().plan().block_ends.empty());
  with.Gradients();
  without.Gradients();
  EXPECT_EQ(NormInputs(with.executor()).at("block2.conv3").codec, "derived");
  EXPECT_EQ(NormInputs(with.executor()).at("block2.conv3").stored_bytes, 0);
  EXPECT_EQ(NormInputs(with.executor()).at("block3.conv3").codec, "fast");
  EXPECT_EQ(with.executor().raw_saved_bytes(), without.executor().raw_saved_bytes());
  EXPECT_LT(with.executor().stored_bytes(), without.executor().stored_bytes());
  const std::vector<std::string> notes = with.executor().TakeNotes();
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_EQ(notes[0],
            "inputs made from their block's output, at 0.0 bits an element: block2.conv3.bn");
  with.Gradients();
  EXPECT_TRUE(with.executor().TakeNotes().empty()) << "nothing new";
}

TEST(BlockEndsTest, ExactPassesGiveTheGradientsOfRaw) {
  for (int which : {0, 1}) {
    const auto network = [&] { return which == 0 ? ResidualNetwork() : BottleneckNetwork(); };
    Trainee raw(network(), false);
    TrainOptions exact;
    exact.exact = true;
    for (int64_t slice : {0, 1, 4}) {
      Trainee derived(network(), Options(true, slice));
      EXPECT_FALSE(derived.executor().plan().block_ends.empty());
      EXPECT_LT(RelativeDifference(derived.Gradients(exact), raw.Gradients()), 1e-5) << slice;
    }
  }
}

// The gradients differ from those of raw about as much as without deriving, whatever the slices.
TEST(BlockEndsTest, GradientsStayAsCloseToExactOnes) {
  for (int which : {0, 1}) {
    const auto network = [&] { return which == 0 ? ResidualNetwork() : BottleneckNetwork(); };
    Trainee raw(network(), false);
    Trainee kept(network(), Options(false));
    const std::vector<float> exact = raw.Gradients();
    const double before = RelativeDifference(kept.Gradients(), exact);
    for (int64_t slice : {0, 1, 4}) {
      Trainee derived(network(), Options(true, slice));
      const double now = RelativeDifference(derived.Gradients(), exact);
      EXPECT_LT(now, 1.5 * before + 0.01) << slice;
      EXPECT_GT(now, 0.1 * before) << "lossy all the same";
    }
  }
}

// Wherever the pool keeps what is derived from.
TEST(BlockEndsTest, AFileGivesTheSameGradients) {
  PlanOptions in_file = Options(true, 1);
  for (SavedPolicy& policy : in_file.policies) policy.tier = Tier::OFFLOADED;
  Trainee file(BottleneckNetwork(), in_file), memory(BottleneckNetwork(), Options(true, 1));
  EXPECT_EQ(file.executor().plan().block_ends.size(), 1u);
  EXPECT_EQ(file.Gradients(), memory.Gradients());
}

TEST(BlockEndsTest, NothingIsDerivedWhereItWouldNotBeWhatWasAskedFor) {
  PlanOptions unequal = Options(true), half = Options(true);
  unequal.policies[static_cast<int>(SavedKind::NORM_INPUT)].codec = "dense";
  half.compute = DType::BF16;
  const auto backend = NewBackend({});
  for (const PlanOptions& options : {unequal, half}) {
    if (!backend->Supports(options.compute)) continue;
    Graph graph = BottleneckNetwork();
    EXPECT_TRUE(MakePlan(graph, *backend, 4, options).block_ends.empty());
  }
}

// A scale that becomes 0 ends it, in the same program: the input is kept, and the next iteration
// derives it again when the scale is back.
TEST(BlockEndsTest, IsDecidedAnewInEachIteration) {
  for (int64_t slice : {0, 1}) {
    Trainee raw(BottleneckNetwork(), false), derived(BottleneckNetwork(), Options(true, slice));
    const auto scale = [](Trainee& trainee) {
      return ParameterNamed(trainee.executor(), "block2.conv3.bn.weight");
    };
    const auto codec = [&] { return NormInputs(derived.executor()).at("block2.conv3").codec; };
    EXPECT_EQ(derived.executor().plan().decoded_once.empty(), slice == 0);
    derived.Gradients({}, 1);
    EXPECT_EQ(codec(), "derived");
    scale(raw)[2] = scale(derived)[2] = 0.0f;
    const std::vector<float> gradients = derived.Gradients({}, 2);
    EXPECT_EQ(codec(), "fast");
    const std::vector<std::string> notes = derived.executor().TakeNotes();
    ASSERT_EQ(notes.size(), 1u);
    EXPECT_NE(notes[0].find("kept beside"), std::string::npos) << notes[0];
    EXPECT_NE(notes[0].find("1 of 64 scales are almost 0"), std::string::npos) << notes[0];
    EXPECT_LT(RelativeDifference(gradients, raw.Gradients({}, 2)), 0.2);
    scale(derived)[2] = 1.0f;
    derived.Gradients({}, 3);
    EXPECT_EQ(codec(), "derived");
    EXPECT_EQ(derived.executor().store().stored_bytes(), 0)
        << "what was not needed is given back, too";
  }
}

}  // namespace
}  // namespace encke
