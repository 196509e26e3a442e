// What is made twice, so that less waits for the whole batch, changes no result.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/engine/graph/test_networks.h"
#include "tests/engine/graph/trainee.h"

namespace encke {
namespace {

// Slices made twice are the same twice: all else stays as it was, bit for bit, but for the order in
// which the gradients of branches are added.
TEST(RematerializeTest, RematerializingChangesMemoryOnly) {
  bool gradients = false, branches = false;
  for (const auto network : {BottleneckNetwork, ResidualNetwork, StackedNetwork}) {
    for (int64_t least : {1, 2}) {
      SCOPED_TRACE(least);
      PlanOptions options;
      options.slice_bytes = 1;
      options.least_slice = least;
      options.rematerialize = 0;
      Trainee kept(network(), options);
      options.rematerialize = 1;
      Trainee made_again(network(), options);
      const Plan& plan = made_again.executor().plan();
      EXPECT_TRUE(kept.executor().plan().rematerialized.empty());
      if (network == BottleneckNetwork) {
        EXPECT_FALSE(plan.rematerialized.empty());
        EXPECT_LT(plan.peak.use.in_use(), kept.executor().plan().peak.use.in_use());
      }
      EXPECT_LT(plan.peak.use.total(), kept.executor().plan().peak.use.total());
      gradients = gradients || !plan.rematerialized_gradients.empty();
      branches = branches || !plan.late_branches.empty();
      for (const PlanStep& step : plan.steps) {
        EXPECT_FALSE(step.again && step.parameters);
        const bool convolves =
            step.node >= 0 && made_again.executor().graph().nodes[step.node].layer->Macs() > 0;
        if (!step.again || !convolves) continue;
        EXPECT_LT(step.inputs[0], 0) << "weights are all it needs";
      }
      TrainOptions exact;
      exact.exact = true;
      for (int iteration : {1, 2}) {
        const std::vector<float> expected = kept.Gradients(exact);
        if (plan.late_branches.empty()) {
          EXPECT_EQ(made_again.Gradients(exact), expected) << iteration;
        } else {
          EXPECT_LT(RelativeDifference(made_again.Gradients(exact), expected), 1e-6) << iteration;
        }
        EXPECT_EQ(Flatten(made_again.executor().parameters()),
                  Flatten(kept.executor().parameters()));
      }
      // What is stored in another section may have learnt its tables from another slice.
      EXPECT_LT(RelativeDifference(made_again.Gradients(), kept.Gradients()), 0.1);
      EXPECT_NEAR(static_cast<double>(made_again.executor().stored_bytes()) /
                      static_cast<double>(kept.executor().stored_bytes()),
                  1.0, 0.01);
    }
  }
  EXPECT_TRUE(gradients);
  EXPECT_TRUE(branches);
}

// What a pool hands back is made again, of gradients that are, and of the loss's; but the loss and
// its scores are computed once.
TEST(RematerializeTest, PoolsGradientsAreMadeAgain) {
  Trainee whole(PooledNetwork(), InSlices(0)), sliced(PooledNetwork(), InSlices(2));
  TrainOptions exact;
  exact.exact = true;
  const StepResult expected = whole.executor().Train(whole.batch(), 1, exact);
  const StepResult result = sliced.executor().Train(sliced.batch(), 1, exact);
  EXPECT_NEAR(result.loss, expected.loss, 1e-5);
  EXPECT_EQ(result.top1, expected.top1);
  EXPECT_EQ(result.top5, expected.top5);
  EXPECT_LT(RelativeDifference(sliced.Gradients(exact), whole.Gradients(exact)), 1e-5);
  const std::vector<PlanStep>& steps = sliced.executor().plan().steps;
  EXPECT_EQ(std::count_if(steps.begin(), steps.end(), [](const auto& step) { return step.again; }),
            3);
}

// Inputs of batch norms that stay as they are cannot be made again in slices.
TEST(RematerializeTest, KeptTensorsAreNotRematerialized) {
  PlanOptions plan;
  plan.slice_bytes = 1;
  plan.rematerialize = 1;
  plan.policies[static_cast<int>(SavedKind::NORM_INPUT)].tier = Tier::IN_PLACE;
  Trainee trainee(BottleneckNetwork(), plan), raw(BottleneckNetwork(), false);
  TrainOptions exact;
  exact.exact = true;
  EXPECT_LT(RelativeDifference(trainee.Gradients(exact), raw.Gradients()), 1e-5);
}

}  // namespace
}  // namespace encke
