// The ledger's total is what the process really holds: a batch above 1 GiB, in both modes, each in
// a child process so that nothing else moves the resident set.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "engine/graph/executor.h"
#include "engine/graph/plan_choice.h"
#include "tests/engine/graph/test_networks.h"

namespace encke {
namespace {

constexpr int64_t kGibibyte = int64_t{1} << 30;

// Trains an iteration with the largest batch planned to stay within `bytes`; prints ledger and
// resident growth.
int TrainWithin(int64_t bytes, bool compress) {
  const int64_t before = ResidentBytes();
  auto backend = NewBackend({});
  ExecutorOptions options;
  options.plan.compress = compress;
  Graph graph = ResidualNetwork();
  const int64_t batch = LargestBatch(graph, *backend, bytes, options.plan);
  Executor executor(ResidualNetwork(), *backend, options);
  executor.InitializeParameters();
  executor.Prepare(batch);
  Allocator& allocator = backend->allocator();
  const Shape images = executor.graph().values[0].shape;
  Batch data{Tensor::Empty(allocator, images, DType::U8, MemoryCategory::DATA),
             Tensor::Empty(allocator, {batch, 1, 1, 1}, DType::I32, MemoryCategory::DATA)};
  std::memset(data.images.raw(), 77, data.images.bytes());
  std::memset(data.labels.raw(), 0, data.labels.bytes());
  executor.Train(data, 1);
  const int64_t held = allocator.ledger().Current().total();
  const int64_t grown = ResidentBytes() - before;
  std::printf("batch %ld: ledger %ld, resident set grew by %ld\n", batch, held, grown);
  std::fflush(stdout);
  const double ratio = static_cast<double>(grown) / static_cast<double>(held);
  return held > kGibibyte && ratio > 0.95 && ratio < 1.05 ? 0 : 1;
}

class ResidentTest : public testing::TestWithParam<bool> {};

TEST_P(ResidentTest, LedgerAgreesWithTheResidentSet) {
  const pid_t child = fork();
  if (child == 0) _exit(TrainWithin(3 * kGibibyte / 2, GetParam()));
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0) << "see the figures above";
}

INSTANTIATE_TEST_SUITE_P(Modes, ResidentTest, testing::Bool(),
                         [](const auto& mode) { return mode.param ? "Encke" : "Raw"; });

}  // namespace
}  // namespace encke
