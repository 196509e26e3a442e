// Saved values that several sections read: decoded once, in part or in each section, backward reads
// the same.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/engine/graph/test_networks.h"
#include "tests/engine/graph/trainee.h"

namespace encke {
namespace {

using Kind = PlanStep::Kind;

constexpr int64_t kBatch = 13;

std::vector<Graph (*)()> Networks() {
  return {ResidualNetwork, BottleneckNetwork, PreActivationNetwork, StackedNetwork,
          BranchNetwork,   NormedFcNetwork,   PooledNetwork};
}

// In slices of so many samples; 0: of different ones, as sections' tensors are large.
PlanOptions Options(int64_t slice, bool save_time) {
  PlanOptions options = InSlices(std::max<int64_t>(slice, 1));
  if (slice == 0) options.slice_bytes = 20000;
  options.save_time = save_time;
  return options;
}

// FETCHes of a saved value, in order.
std::vector<const PlanStep*> Fetches(const Plan& plan, int saved) {
  std::vector<const PlanStep*> fetches;
  for (const PlanStep& step : plan.steps) {
    if (step.kind == Kind::FETCH && step.saved == saved) fetches.push_back(&step);
  }
  return fetches;
}

// Bytes of the pool in the last step of all.
int64_t StoredAtTheEnd(Trainee& trainee) {
  return trainee.executor().memory_trace().steps().back().of(MemoryCategory::SAVED);
}

// Whatever is held, and for a batch of which only a part is there, or not even all that is held.
TEST(DecodedOnceTest, GradientsDoNotDependOnWhatIsHeld) {
  size_t once = 0, in_part = 0;
  for (Graph (*network)() : Networks()) {
    for (int64_t slice : {0, 1, 3}) {
      SCOPED_TRACE(slice);
      Trainee each_time(network(), Options(slice, false), 0.05, kBatch);
      Trainee held(network(), Options(slice, true), 0.05, kBatch);
      const Plan& plan = held.executor().plan();
      EXPECT_LE(plan.peak.use.total(), each_time.executor().plan().peak.use.total());
      once += plan.decoded_once.size();
      in_part += plan.held_samples.size();
      EXPECT_EQ(held.Gradients(), each_time.Gradients());
      EXPECT_LE(StoredAtTheEnd(held), StoredAtTheEnd(each_time)) << "what is held is given back";
      for (int64_t part : {kBatch - 2, int64_t{2}}) {
        for (Trainee* trainee : {&held, &each_time}) {
          EXPECT_TRUE(trainee->executor().Train(trainee->Part(part), 2, {}).finite);
        }
        EXPECT_EQ(Flatten(held.executor().gradients()), Flatten(each_time.executor().gradients()));
      }
    }
  }
  EXPECT_GT(once, 0u);
  EXPECT_GT(in_part, 0u);
}

// Samples that are held have places of their own from the first section that reads them to the
// last; only the first brings them.
TEST(DecodedOnceTest, SamplesAreHeldFromTheFirstSectionToTheLast) {
  size_t in_part = 0;
  const auto backend = NewBackend({});
  for (Graph (*network)() : Networks()) {
    Graph graph = network();
    const Plan plan = MakePlan(graph, *backend, kBatch, Options(2, true));
    in_part += plan.held_samples.size();
    for (const auto& [saved, samples] : plan.held_samples) {
      SCOPED_TRACE(graph.values[plan.saved[saved].value].name);
      const std::vector<const PlanStep*> fetches = Fetches(plan, saved);
      ASSERT_GT(fetches.size(), 1u);
      const PlannedBuffer& buffer = plan.buffers[fetches[0]->buffer];
      EXPECT_EQ(buffer.held, samples);
      EXPECT_LT(samples, kBatch);
      for (const PlanStep* fetch : fetches) {
        EXPECT_EQ(fetch->buffer, fetches[0]->buffer);
        EXPECT_EQ(fetch->rest, fetch != fetches[0]);
        EXPECT_EQ(fetch->release, fetch == fetches.back());
        EXPECT_EQ(fetch->only_for, -1) << "later sections count on what the first has brought";
      }
      for (const PlanSection& section : plan.sections) {
        const auto within = [&](const PlanStep* fetch) {
          return &plan.steps[section.first] <= fetch && fetch < plan.steps.data() + section.end;
        };
        if (std::none_of(fetches.begin(), fetches.end(), within)) continue;
        EXPECT_LE(buffer.first, section.first);
        EXPECT_LE(section.end - 1, buffer.last) << "other slices come by";
        EXPECT_GE(buffer.bytes, (samples + section.samples) * buffer.sample_bytes);
      }
    }
  }
  EXPECT_GT(in_part, 0u);
}

}  // namespace
}  // namespace encke
