// Scratch memory: what is lent is used, and what is not enough is not.
#include "engine/backend/workspace.h"

#include <gtest/gtest.h>

#include <array>

namespace encke {
namespace {

TEST(WorkspaceTest, UsesWhatIsLentWhereItSuffices) {
  const std::unique_ptr<Allocator> allocator = NewCpuAllocator();
  const auto held = [&] { return allocator->ledger().Current().of(MemoryCategory::WORKSPACE); };
  Workspace workspace(allocator.get());
  std::array<char, 1000> memory;
  workspace.Lend(memory.data(), memory.size());
  workspace.Reserve(1000);
  EXPECT_EQ(workspace.At(8), memory.data() + 8);
  EXPECT_EQ(workspace.bytes(), 1000);
  EXPECT_EQ(held(), 0);
  workspace.Reserve(1001);
  EXPECT_NE(workspace.At(0), memory.data());
  EXPECT_GE(workspace.bytes(), 1001);
  const int64_t own = held();
  EXPECT_GE(own, 1001);
  workspace.Reserve(500);
  EXPECT_EQ(workspace.At(0), memory.data());
  workspace.Lend(nullptr, 0);
  workspace.Reserve(500);
  EXPECT_NE(workspace.At(0), memory.data()) << "it was taken back";
  EXPECT_EQ(held(), own) << "and what it has of its own is used again";
}

TEST(WorkspaceTest, NothingTakesNothing) {
  const std::unique_ptr<Allocator> allocator = NewCpuAllocator();
  Workspace workspace(allocator.get());
  workspace.Reserve(0);
  EXPECT_EQ(allocator->ledger().Current().total(), 0);
}

}  // namespace
}  // namespace encke
