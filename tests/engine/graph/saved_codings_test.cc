#include "engine/graph/saved_codings.h"

#include <string>

#include "compression/value_coding.h"
#include "engine/core/error.h"
#include "gtest/gtest.h"

namespace encke {
namespace {

PutOptions Options(float bound, bool mask = true) {
  PutOptions options{"dense", {}};
  options.coding.bound = ErrorBound::Uniform(bound);
  options.coding.mask = mask;
  return options;
}

StoredValue Stored(int64_t bytes) {
  StoredValue stored;
  stored.raw_bytes = 100000;
  stored.stored_bytes = bytes;
  return stored;
}

void Learn(SavedCodings* codings, int value, const PutOptions& options, int64_t iteration) {
  codings->Learnt(value, options, iteration, Stored(5000),
                  ValueCoding(options.coding, DType::F32, 4));
}

TEST(SavedCodings, ServeUntilTheyAreOld) {
  SavedCodings codings;
  const PutOptions options = Options(0.1f);
  EXPECT_EQ(codings.PriorOf(3, options, 100), nullptr);
  Learn(&codings, 3, options, 100);
  EXPECT_NE(codings.PriorOf(3, options, 101), nullptr);
  EXPECT_NE(codings.PriorOf(3, options, 115), nullptr);
  EXPECT_EQ(codings.PriorOf(3, options, 116), nullptr);
  EXPECT_EQ(codings.PriorOf(4, options, 101), nullptr);
}

TEST(SavedCodings, AreLearntOftenEarlyInARun) {
  SavedCodings codings;
  const PutOptions options = Options(0.1f);
  Learn(&codings, 0, options, 1);
  EXPECT_EQ(codings.PriorOf(0, options, 2), nullptr);
  Learn(&codings, 0, options, 8);
  EXPECT_NE(codings.PriorOf(0, options, 12), nullptr);
  EXPECT_EQ(codings.PriorOf(0, options, 13), nullptr);
}

TEST(SavedCodings, AreForTheirBoundAndModeAlone) {
  SavedCodings codings;
  Learn(&codings, 0, Options(0.1f), 100);
  EXPECT_NE(codings.PriorOf(0, Options(0.103f), 101), nullptr);
  EXPECT_EQ(codings.PriorOf(0, Options(0.12f), 101), nullptr);
  EXPECT_EQ(codings.PriorOf(0, Options(0.08f), 101), nullptr);
  EXPECT_EQ(codings.PriorOf(0, Options(0.1f, false), 101), nullptr);
  PutOptions other = Options(0.1f);
  other.codec = "fast";
  EXPECT_EQ(codings.PriorOf(0, other, 101), nullptr);
}

TEST(SavedCodings, AreForBoundsOfTheirChannels) {
  SavedCodings codings;
  PutOptions options = Options(0, false);
  options.coding.bound = ErrorBound::PerChannel({0.1f, 0.2f, 0.3f, 0.4f});
  Learn(&codings, 0, options, 100);
  EXPECT_NE(codings.PriorOf(0, options, 101), nullptr);
  PutOptions tighter = options, exact = options;
  for (float& bound : tighter.coding.bound.channel) bound /= 2;
  for (float& bound : exact.coding.bound.channel) bound = 0;
  EXPECT_EQ(codings.PriorOf(0, tighter, 101), nullptr);
  EXPECT_EQ(codings.PriorOf(0, exact, 101), nullptr);
  codings.Forget();
  EXPECT_EQ(codings.PriorOf(0, options, 101), nullptr);
}

TEST(SavedCodings, AreForTheirChannelsAlone) {
  SavedCodings codings;
  PutOptions options = Options(0, false);
  options.coding.bound = ErrorBound::PerChannel({0.1f, 0.1f, 0.1f, 0.1f});
  options.coding.channel_center = {1, 2, 3, 4};
  Learn(&codings, 0, options, 100);
  EXPECT_NE(codings.PriorOf(0, options, 101), nullptr);
  options.coding.bound = ErrorBound::PerChannel({0.1f, 0.1f});
  EXPECT_EQ(codings.PriorOf(0, options, 101), nullptr);
}

TEST(SavedCodings, AreLearntAnewWhenTheyCostMore) {
  SavedCodings codings;
  const PutOptions options = Options(0.1f);
  Learn(&codings, 0, options, 100);
  codings.Used(0, Stored(5100));
  EXPECT_NE(codings.PriorOf(0, options, 102), nullptr);
  codings.Used(0, Stored(5200));
  EXPECT_EQ(codings.PriorOf(0, options, 103), nullptr);
  codings.Used(0, Stored(4000));
  EXPECT_EQ(codings.PriorOf(0, options, 103), nullptr) << "they were learnt of something else";
  Learn(&codings, 0, options, 103);
  EXPECT_NE(codings.PriorOf(0, options, 104), nullptr);
}

TEST(SavedCodings, SurviveACheckpoint) {
  SavedCodings codings, restored;
  PutOptions options = Options(0, false);
  options.coding.bound = ErrorBound::PerChannel({0.1f, 0.2f, 0.3f, 0.4f});
  options.coding.channel_center = {1.0f, -0.3f, 0, 1e9f};
  Learn(&codings, 7, options, 100);
  codings.Used(7, Stored(5100));
  restored.Restore(codings.Save());
  EXPECT_EQ(restored.Save(), codings.Save());
  const auto prior = restored.PriorOf(7, options, 101);
  ASSERT_NE(prior, nullptr);
  EXPECT_EQ(prior->centers, codings.PriorOf(7, options, 101)->centers);
  restored.Used(7, Stored(5200));
  EXPECT_EQ(restored.PriorOf(7, options, 102), nullptr) << "the share is there, too";
}

// The tables go to decoders that trust them.
TEST(SavedCodings, RefuseTablesThatNobodyMade) {
  SavedCodings codings;
  PutOptions options = Options(0.1f);
  Learn(&codings, 0, options, 100);
  const std::string good = codings.Save(), none = "\"tables\":[]";
  const auto with = [&](const std::string& tables) {
    return std::string(good).replace(good.find(none), none.size(), "\"tables\":" + tables);
  };
  EXPECT_NO_THROW(codings.Restore(with("[2,0,0,0,0,0,0,16,16]")));
  for (const char* tables : {"[1]", "[2,0,0,0,0,0,0,16]", "[17,0,0,0,0,0,0,16,16]",
                             "[2,8,0,0,0,0,0,16,16]", "[2,0,4,0,0,0,0,16,16]",
                             "[2,0,0,0,0,1,0,16,16]", "[2,0,0,255,255,0,0,16,16]", "[256]", "7"}) {
    EXPECT_THROW(codings.Restore(with(tables)), Error) << tables;
  }
  EXPECT_THROW(codings.Restore("{"), Error);
}

}  // namespace
}  // namespace encke
