// A memory limit is met by what costs least time, and refused with what would fit.
#include "engine/graph/plan_choice.h"

#include <gtest/gtest.h>

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
  for (int64_t limit : {int64_t{0}, need, 2 * need}) {
    EXPECT_EQ(Choose(512, limit).peak.use.total(), need);
    EXPECT_EQ(Choose(512, limit).smallest_slice(), 512);
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
  EXPECT_LT(dense.peak.use.total(), Peak(smallest, 4096));
}

TEST_F(PlanChoiceTest, WhatCannotFitIsRefusedWithTheBatchThatCan) {
  const int64_t limit = Peak(options_, 64);
  const Plan plan = Choose(8192, limit);
  EXPECT_GT(plan.peak.use.total(), limit);
  try {
    RequireFits(graph_, *backend_, plan, limit, "net.textproto:3:1");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::MEMORY);
    const int64_t batch = LargestBatch(graph_, *backend_, limit, options_);
    EXPECT_GE(batch, 64);
    EXPECT_NE(error.hint().find(StrCat(batch)), std::string::npos) << error.what();
    EXPECT_LE(Choose(batch, limit).peak.use.total(), limit);
  }
}

}  // namespace
}  // namespace encke
