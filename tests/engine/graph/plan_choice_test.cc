// A memory limit is met by what costs least time, and refused with what would fit.
#include "engine/graph/plan_choice.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "engine/core/error.h"
#include "tests/engine/graph/test_networks.h"

namespace encke {
namespace {

class PlanChoiceTest : public testing::Test {
 protected:
  Plan Choose(int64_t batch, int64_t limit) {
    return ChoosePlan(graph_, *backend_, batch, options_, limit);
  }
  int64_t Peak(const PlanOptions& options, int64_t batch) {
    return MakePlan(graph_, *backend_, batch, options).peak.use.total();
  }

  std::unique_ptr<Backend> backend_ = NewBackend({});
  Graph graph_ = ResidualNetwork();
  PlanOptions options_;
};

TEST_F(PlanChoiceTest, WithoutNeedNothingIsChanged) {
  const int64_t need = Peak(options_, 512);
  for (int64_t limit : {int64_t{0}, need}) {
    EXPECT_EQ(Choose(512, limit).peak.use.total(), need);
    EXPECT_EQ(Choose(512, limit).smallest_slice(), 512);
    EXPECT_TRUE(Choose(512, limit).uncompressed.empty());
  }
  EXPECT_EQ(Choose(512, 2 * need).smallest_slice(), 512);
}

TEST_F(PlanChoiceTest, RoomUnderALimitSavesTime) {
  graph_ = BottleneckNetwork();
  options_.slice_bytes = 1 << 20;
  options_.rematerialize = 0.5;
  const Plan smallest = Choose(4096, 0);
  ASSERT_FALSE(smallest.rematerialized.empty());
  const int64_t limit = 4 * smallest.peak.use.total();
  const Plan roomy = Choose(4096, limit);
  EXPECT_TRUE(roomy.rematerialized.empty());
  EXPECT_FALSE(roomy.uncompressed.empty());
  EXPECT_LE(roomy.peak.use.total(), limit);
  // The more room, the more stays as it is.
  const Plan less = Choose(4096, limit / 3);
  EXPECT_FALSE(less.uncompressed.empty());
  EXPECT_LT(less.uncompressed.size(), roomy.uncompressed.size());
  // Where there is no room, everything is as without a limit.
  const Plan tight = Choose(4096, smallest.peak.use.total());
  EXPECT_EQ(tight.rematerialized, smallest.rematerialized);
  EXPECT_EQ(tight.rematerialized_gradients, smallest.rematerialized_gradients);
  EXPECT_EQ(tight.late_branches, smallest.late_branches);
  EXPECT_EQ(tight.decoded_once, smallest.decoded_once);
  EXPECT_TRUE(tight.uncompressed.empty());
}

TEST_F(PlanChoiceTest, LargerSlicesComeFirstWhereTheyAreFaster) {
  options_.slice_bytes = 1 << 20;
  options_.larger_slices = true;
  const Plan usual = Choose(4096, 0);
  ASSERT_LT(usual.smallest_slice(), 4096);
  const int64_t need = usual.peak.use.total();
  const Plan larger = Choose(4096, 3 * need);
  EXPECT_GT(larger.smallest_slice(), usual.smallest_slice());
  EXPECT_LE(larger.peak.use.total(), 3 * need);
  EXPECT_EQ(Choose(4096, need).smallest_slice(), usual.smallest_slice());
  options_.larger_slices = false;
  EXPECT_EQ(Choose(4096, 1000 * need).smallest_slice(), usual.smallest_slice());
}

TEST_F(PlanChoiceTest, TheDenserCodecComesBeforeSlicesWhereLargeOnesAreFaster) {
  options_.slice_bytes = 4 << 20;
  for (bool larger : {false, true}) {
    options_.larger_slices = larger;
    const std::vector<PlanOptions> alternatives = PlanAlternatives(options_);
    ASSERT_GT(alternatives.size(), 2u);
    EXPECT_EQ(alternatives[1].policies[0].codec, larger ? "dense" : "fast");
    EXPECT_EQ(alternatives[1].slice_bytes == options_.slice_bytes, larger);
    // In whatever order, none twice.
    for (size_t i = 0; i < alternatives.size(); ++i) {
      for (size_t j = 0; j < i; ++j) {
        EXPECT_TRUE(alternatives[i].slice_bytes != alternatives[j].slice_bytes ||
                    alternatives[i].policies != alternatives[j].policies ||
                    alternatives[i].rematerialize != alternatives[j].rematerialize ||
                    alternatives[i].recompute_segments != alternatives[j].recompute_segments);
      }
    }
  }
}

TEST_F(PlanChoiceTest, SlicesComeBeforeTheDenserCodec) {
  const int64_t need = Peak(options_, 4096);
  const Plan sliced = Choose(4096, need * 9 / 10);
  EXPECT_LE(sliced.peak.use.total(), need * 9 / 10);
  EXPECT_LT(sliced.smallest_slice(), 4096);
  EXPECT_EQ(sliced.options.policies[0].codec, "fast");
  PlanOptions smallest = options_;
  smallest.slice_bytes = 1 << 20;
  const Plan dense = Choose(4096, Peak(smallest, 4096) - 1);
  EXPECT_EQ(dense.options.policies[0].codec, "dense");
  EXPECT_TRUE(dense.options.policies[0].adaptive);
  EXPECT_NE(DescribeChoice(dense).find("codec auto"), std::string::npos);
  EXPECT_LT(dense.peak.use.total(), Peak(smallest, 4096));
}

TEST_F(PlanChoiceTest, AFileAndComputingAgainComeLast) {
  const std::vector<PlanOptions> all = PlanAlternatives(options_);
  const auto is_file = [](const PlanOptions& o) { return o.policies[0].tier == Tier::OFFLOADED; };
  const auto first_file = std::find_if(all.begin(), all.end(), is_file);
  ASSERT_NE(first_file, all.end());
  for (auto o = all.begin(); o != all.end(); ++o) {
    EXPECT_EQ(is_file(*o), o >= first_file);
    EXPECT_EQ(o->recompute_segments > 0, o > first_file);
    if (o >= first_file) {
      EXPECT_EQ(o->policies[0].codec, "dense");
      EXPECT_GT(o->rematerialize, options_.rematerialize);
    }
  }
}

TEST_F(PlanChoiceTest, WhatWasAskedForStays) {
  options_.recompute_segments = 3;
  options_.rematerialize = 0;
  options_.policies[1] = {"jpeg", Tier::OFFLOADED};
  for (const PlanOptions& o : PlanAlternatives(options_)) {
    EXPECT_EQ(o.recompute_segments, 3);
    EXPECT_EQ(o.rematerialize, 0);
    EXPECT_EQ(o.policies[1], options_.policies[1]);
  }
}

TEST_F(PlanChoiceTest, AFileServesWhereTheDenserCodecDoesNot) {
  int64_t in_memory = Peak(options_, 4096);
  for (const PlanOptions& o : PlanAlternatives(options_)) {
    if (o.policies[0].tier == Tier::OFFLOADED) break;
    in_memory = std::min(in_memory, Peak(o, 4096));
  }
  const Plan plan = Choose(4096, in_memory - 1);
  EXPECT_LT(plan.peak.use.total(), in_memory);
  EXPECT_GT(plan.predicted_offloaded_bytes(), 0);
  EXPECT_NE(DescribeChoice(plan).find("offloaded"), std::string::npos) << DescribeChoice(plan);
  ASSERT_FALSE(plan.rejected.empty());
  EXPECT_NE(plan.rejected[0].find("codec fast"), std::string::npos) << plan.rejected[0];
  EXPECT_TRUE(Choose(4096, 0).rejected.empty());
}

TEST_F(PlanChoiceTest, WhatCannotFitIsRefusedWithTheBatchThatCan) {
  const int64_t limit = Peak(options_, 64);
  const Plan plan = Choose(8192, limit);
  EXPECT_GT(plan.peak.use.total(), limit);
  try {
    RequireFits(graph_, *backend_, plan, options_, limit, "net.textproto:3:1");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::MEMORY);
    const int64_t batch = LargestBatch(graph_, *backend_, limit, options_);
    EXPECT_GE(batch, 64);
    EXPECT_NE(error.hint().find(StrCat(batch)), std::string::npos) << error.what();
    EXPECT_LE(Choose(batch, limit).peak.use.total(), limit);
  }
}

TEST_F(PlanChoiceTest, WithoutALimitTheMachinesMemoryIsOne) {
  const int64_t machine = backend_->allocator().capacity();
  ASSERT_GT(machine, Peak(options_, 64));
  RequireFits(graph_, *backend_, Choose(64, 0), options_, 0, "");
  try {
    const int64_t batch = 4 * machine / (Peak(options_, 128) - Peak(options_, 64)) * 64;
    RequireFits(graph_, *backend_, Choose(batch, 0), options_, 0, "");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::MEMORY);
    EXPECT_NE(error.message().find("this machine has "), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace encke
