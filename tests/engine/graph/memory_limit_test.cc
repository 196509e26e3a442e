// Training under a memory limit.
#include <gtest/gtest.h>

#include "engine/graph/executor.h"
#include "engine/graph/plan_choice.h"
#include "tests/engine/graph/test_networks.h"
#include "tests/engine/graph/trainee.h"

namespace encke {
namespace {

// The limit is set when the pool is there already, and needs its file only then.
TEST(MemoryLimitTest, CanPutSavedValuesIntoAFile) {
  ExecutorOptions options;
  options.plan.batches_held = 1;
  const auto backend = NewBackend({});
  Graph graph = ResidualNetwork();
  int64_t limit = 0;
  for (const PlanOptions& o : PlanAlternatives(options.plan)) {
    if (o.policies[0].tier == Tier::OFFLOADED) break;
    const int64_t peak = MakePlan(graph, *backend, 1024, o).peak.use.total();
    limit = limit == 0 ? peak : std::min(limit, peak);
  }
  Executor executor(ResidualNetwork(), *backend, options);
  backend->allocator().set_limit(limit - 1);
  executor.InitializeParameters();
  executor.Prepare(1024);
  const Batch batch = MakeBatch(backend->allocator(), executor.graph().values[0].shape, 1024, 5);
  EXPECT_TRUE(executor.Train(batch, 1).finite);
  EXPECT_GT(executor.offloaded_bytes(), 0);
  EXPECT_LT(backend->allocator().ledger().Peak().total(), limit);
}

// Values at these bounds take several times what the first plan foresees.
TEST(MemoryLimitTest, PlansAnewWhereSavedValuesTakeMoreThanForeseen) {
  ExecutorOptions options;
  options.plan.batches_held = 1;
  options.plan.assumed_ratio = 1000;
  options.plan.slice_bytes = 1 << 14;
  options.controller.tolerance = 1e-3;
  options.controller.warmup = 0;
  const auto free = NewBackend({}), limited = NewBackend({});
  Graph graph = ResidualNetwork();
  const int64_t limit = MakePlan(graph, *free, 512, options.plan).peak.use.total();
  limited->allocator().set_limit(limit);
  Executor other(ResidualNetwork(), *free, options), executor(ResidualNetwork(), *limited, options);
  const Batch batch = MakeBatch(free->host_allocator(), graph.values[0].shape, 512, 5);
  for (Executor* e : {&other, &executor}) {
    e->InitializeParameters();
    e->Prepare(512);
  }
  EXPECT_FALSE(other.PrepareForRatio(30)) << "there is no limit";
  EXPECT_TRUE(other.Train(batch, 1).finite);
  EXPECT_THROW(executor.Train(batch, 1), MemoryLimitError);
  for (bool trained = false; !trained;) {
    ASSERT_TRUE(executor.PrepareForRatio(executor.assumed_ratio() / 2));
    EXPECT_TRUE(executor.memory_trace().steps().empty()) << "of another plan's steps";
    try {
      trained = executor.Train(batch, 1).finite;
    } catch (const MemoryLimitError&) {
    }
  }
  EXPECT_LE(limited->allocator().ledger().Peak().total(), limit);
  EXPECT_LT(RelativeDifference(Flatten(executor.gradients()), Flatten(other.gradients())), 0.05);
  limited->allocator().set_limit(limit / 4);
  const double ratio = executor.assumed_ratio();
  EXPECT_FALSE(executor.PrepareForRatio(ratio / 2)) << "no plan keeps this limit";
  EXPECT_EQ(executor.assumed_ratio(), ratio);
}

// What a value takes depends on its bound, not on the bytes of its elements.
TEST(MemoryLimitTest, PlansForTheSameBytesInBothPrecisions) {
  const auto backend = NewBackend({});
  Graph graph = ResidualNetwork();
  PlanOptions options;
  const auto lossy = [&](DType dtype) {
    options.compute = dtype;
    int64_t bytes = 0;
    for (const SavedValue& saved : MakePlan(graph, *backend, 32, options).saved) {
      if (saved.encoded()) bytes += saved.predicted_bytes;
    }
    return static_cast<double>(bytes);
  };
  EXPECT_NEAR(lossy(DType::BF16) / lossy(DType::F32), 1, 0.01);
}

}  // namespace
}  // namespace encke
