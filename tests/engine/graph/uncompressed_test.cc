// Values that stay as they are where there is room: gradients come closer to raw's, and the noise
// in the others is predicted as ever.
#include <gtest/gtest.h>

#include <algorithm>

#include "engine/graph/executor.h"
#include "tests/engine/graph/test_networks.h"
#include "tests/engine/graph/trainee.h"

namespace encke {
namespace {

// With all the room that there is, what can stay as it is does, and what is made from it alone is
// exact; with half of it, some values do.
TEST(UncompressedTest, RoomLeavesValuesUncompressed) {
  for (int which = 0; which < kTestNetworks; ++which) {
    for (int64_t slice_bytes : {0, 1}) {
      SCOPED_TRACE(StrCat(which, " ", slice_bytes));
      PlanOptions plan;
      plan.slice_bytes = slice_bytes;
      plan.least_slice = 2;
      plan.rematerialize = 0;
      Trainee raw(TestNetwork(which), false), encke(TestNetwork(which), plan);
      const std::vector<float> exact = raw.Gradients();
      const double noise = RelativeDifference(encke.Gradients(), exact);
      const int64_t least = encke.executor().plan().peak.use.total();
      const int64_t stored = encke.executor().stored_bytes();
      for (int64_t spent : {int64_t{2}, int64_t{100}}) {
        plan.memory_limit = spent * least;
        Trainee roomy(TestNetwork(which), plan);
        const double left = RelativeDifference(roomy.Gradients(), exact);
        const Plan& made = roomy.executor().plan();
        EXPECT_LE(made.peak.use.total(), plan.memory_limit);
        const bool all = std::none_of(made.saved.begin(), made.saved.end(), [](const auto& saved) {
          return saved.lossy() && saved.keep != Keep::DERIVE && !saved.exact;
        });
        EXPECT_LE(left, all ? 1e-5 : 1.5 * noise);
        const bool defers = std::any_of(made.steps.begin(), made.steps.end(), TakesWholeBatch);
        EXPECT_TRUE(all || defers || spent < 100);
        if (made.uncompressed.empty()) continue;
        EXPECT_GT(roomy.executor().stored_bytes(), stored);
        const bool noisy = std::any_of(made.saved.begin(), made.saved.end(), [](const auto& saved) {
          return saved.lossy() && !saved.exact && !saved.gradient_consumers.empty();
        });
        EXPECT_FALSE(all && noisy);
        EXPECT_EQ(!noisy, made.probes.empty()) << "there is no noise to be measured";
        const std::vector<PlanStep>& before = encke.executor().plan().steps;
        EXPECT_EQ(defers, std::any_of(before.begin(), before.end(), TakesWholeBatch));
      }
    }
  }
}

// Where some of what a node reads is exact, the noise in the other gradients is predicted as ever.
TEST(UncompressedTest, NoiseIsPredictedBesideUncompressedValues) {
  PlanOptions plan;
  plan.slice_bytes = 1;
  plan.least_slice = 4;
  Trainee encke(ResidualNetwork(), plan, 0.5, 32);
  plan.memory_limit = encke.executor().plan().peak.use.total() * 7 / 5;
  Trainee roomy(ResidualNetwork(), plan, 0.5, 32);
  EXPECT_FALSE(roomy.executor().plan().uncompressed.empty());
  EXPECT_FALSE(roomy.executor().plan().probes.empty());
  for (int64_t iteration : {1, 2, 3}) roomy.Gradients({}, iteration);
  TrainOptions options;
  options.audit = Audit::ALL;
  roomy.Gradients(options, 4);
  int audited = 0;
  for (const ActivationRecord& record : roomy.executor().records()) {
    if (record.kind != "audit") continue;
    EXPECT_GT(record.error_bound, 0) << record.consumer << " reads what is exact";
    ++audited;
    ExpectNoiseAsPredicted(record);
  }
  EXPECT_GT(audited, 0);
}

}  // namespace
}  // namespace encke
