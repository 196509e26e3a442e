// Values of codec "auto": dense as long as fast would take more than the plan foresees.
#include "engine/graph/codec_choice.h"

#include <gtest/gtest.h>

#include "tests/engine/graph/test_networks.h"
#include "tests/engine/graph/trainee.h"

namespace encke {
namespace {

constexpr int64_t kRaw = 1000;

StoredValue Stored(const std::string& codec, int64_t raw, int64_t bytes) {
  StoredValue stored;
  stored.codec = codec;
  stored.raw_bytes = raw;
  stored.stored_bytes = bytes;
  return stored;
}

// Has values 0, 1, ... take `dense` or `fast` bytes in one iteration, of which each may take
// `foreseen`; the codecs' initials.
std::string Iterate(CodecChoice* choice, const std::vector<int64_t>& dense,
                    const std::vector<int64_t>& fast, int64_t foreseen) {
  std::string codecs;
  choice->Start();
  for (size_t v = 0; v < dense.size(); ++v) {
    const int value = static_cast<int>(v);
    const int64_t may = foreseen * static_cast<int64_t>(v + 1);
    const std::string codec = choice->Choose(value, kRaw, may);
    codecs += codec[0];
    const int64_t bytes = codec == "fast" ? fast[v] : dense[v];
    choice->Stored(value, Stored(codec, kRaw / 2, bytes / 2));  // in two slices
    choice->Stored(value, Stored(codec, kRaw / 2, bytes / 2));
  }
  return codecs;
}

TEST(CodecChoiceTest, DenseUntilFastKeepsToThePlan) {
  CodecChoice choice;
  EXPECT_EQ(Iterate(&choice, {80, 80, 80}, {140, 140, 140}, 100), "ddd") << "nothing is known";
  EXPECT_EQ(Iterate(&choice, {60, 60, 60}, {110, 110, 110}, 100), "ddd");
  // What the first leaves is for the others.
  EXPECT_EQ(Iterate(&choice, {40, 40, 40}, {70, 70, 70}, 100), "dff");
  EXPECT_EQ(Iterate(&choice, {40, 40, 40}, {70, 70, 70}, 100), "fff");
  EXPECT_EQ(Iterate(&choice, {40, 40, 40}, {70, 70, 70}, 100), "fff") << "and so it stays";
  EXPECT_EQ(Iterate(&choice, {40, 80, 40}, {70, 150, 70}, 100), "fff") << "seen too late";
  EXPECT_EQ(Iterate(&choice, {40, 80, 40}, {70, 150, 70}, 100), "fdf") << "dense takes less";
}

// Their share of the raw bytes counts: the last batch of an epoch may be small.
TEST(CodecChoiceTest, SizesAreForBatchesOfAnySize) {
  CodecChoice choice;
  choice.Start();
  choice.Choose(0, kRaw / 10, 100);
  choice.Stored(0, Stored("dense", kRaw / 10, 8));
  choice.Start();
  EXPECT_EQ(choice.Choose(0, kRaw, 100), "dense");
}

TEST(CodecChoiceTest, ARestoredChoiceGoesOnAsItWould) {
  CodecChoice choice, restored;
  Iterate(&choice, {40, 60}, {70, 90}, 100);
  restored.Restore(choice.Save());
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Iterate(&restored, {40, 60}, {70, 90}, 100),
              Iterate(&choice, {40, 60}, {70, 90}, 100));
  }
  choice.Forget();
  EXPECT_EQ(Iterate(&choice, {40, 60}, {70, 90}, 100), "dd");
  EXPECT_THROW(restored.Restore("{\"0\": [1]}"), Error);
  EXPECT_THROW(restored.Restore("no"), Error);
}

// Where the plan foresees little all is dense, where it foresees much fast from the second
// iteration on, and in between the pool keeps to it.
TEST(CodecChoiceTest, ThePoolKeepsToThePlan) {
  const std::set<std::string> dense = {"dense"}, fast = {"fast"};
  int mixed = 0;
  for (double ratio : {100.0, 8.0, 6.0, 4.0, 0.5}) {
    SCOPED_TRACE(ratio);
    PlanOptions plan = InSlices(16);
    plan.assumed_ratio = ratio;
    for (SavedPolicy& policy : plan.policies) policy = PolicyOf("auto");
    Trainee trainee(ResidualNetwork(), plan, 0.05, 64);
    for (int64_t iteration = 1; iteration <= 4; ++iteration) {
      trainee.Gradients({}, iteration);
      std::set<std::string> codecs;
      int64_t stored = 0, foreseen = 0;
      for (const ActivationRecord& record : trainee.executor().records()) {
        if (record.codec != "fast" && record.codec != "dense") continue;
        codecs.insert(record.codec);
        stored += record.stored_bytes;
      }
      for (const SavedValue& saved : trainee.executor().plan().saved) {
        if (saved.adaptive) foreseen += saved.predicted_bytes;
      }
      if (iteration == 1) {
        EXPECT_EQ(codecs, dense) << "nobody knows what fast would take";
        continue;
      }
      EXPECT_TRUE(codecs == dense || ratio != 100);
      EXPECT_TRUE(codecs == fast || ratio != 0.5);
      mixed += codecs.size() > 1;
      EXPECT_TRUE(stored <= foreseen || codecs == dense) << stored << " of " << foreseen;
    }
  }
  EXPECT_GT(mixed, 0);
}

}  // namespace
}  // namespace encke
