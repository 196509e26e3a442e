// What whole iterations take from the driver once everything has been seen, on the emulated GPU.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "tests/emulated_gpu/emulated_gpu.h"
#include "tests/engine/graph/test_networks.h"
#include "tests/engine/graph/trainee.h"

namespace encke {
namespace {

constexpr int kFirst = 6, kLast = 26;  // samples are taken, and tables learnt, in between

class SteadyState : public ::testing::TestWithParam<const char*> {};  // codec

// Probes, statistics and slices included.
TEST_P(SteadyState, TakesNothingFromTheDriver) {
  PlanOptions plan = InSlices(3);
  for (SavedPolicy& policy : plan.policies) policy = PolicyOf(GetParam());
  if (GetParam() == std::string("auto")) plan.assumed_ratio = 0.5;  // from dense to fast
  for (const auto& network : {ResidualNetwork, PreActivationNetwork}) {
    Trainee trainee(network(), plan, 0.05, 6, NewBackend({Device::Type::CUDA, 0}));
    for (int64_t i = 1; i < kFirst; ++i) trainee.executor().Train(trainee.batch(), i);
    emulated_gpu::TakeCosts();
    for (int64_t i = kFirst; i <= kLast; ++i) trainee.executor().Train(trainee.batch(), i);
    const emulated_gpu::Costs costs = emulated_gpu::TakeCosts();
    EXPECT_EQ(costs.device_allocations, 0);
    EXPECT_EQ(costs.page_locked, 0);
    EXPECT_EQ(costs.pageable_copies, 0);
    EXPECT_LT(costs.events, 6) << "what is recorded a little earlier than seen";
  }
}

INSTANTIATE_TEST_SUITE_P(Codecs, SteadyState, ::testing::Values("fast", "dense", "auto"));

}  // namespace
}  // namespace encke
