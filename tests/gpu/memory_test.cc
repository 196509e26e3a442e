// The ledger of a GPU's memory against what the driver counts.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/core/error.h"

namespace encke {
namespace {

int64_t UsedBytes() {
  size_t free = 0, total = 0;
  EXPECT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
  return static_cast<int64_t>(total - free);
}

class GpuMemoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    try {
      backend_ = NewBackend({Device::Type::CUDA, 0});
    } catch (const Error& error) {
      if (std::getenv("ENCKE_TEST_DEVICE") != nullptr) throw;
      GTEST_SKIP() << error.what();
    }
  }
  int64_t Held() { return backend_->allocator().ledger().Current().total(); }

  std::unique_ptr<Backend> backend_;
};

// Many sizes, some of them freed again: what is kept for later counts as held.
TEST_F(GpuMemoryTest, LedgerAgreesWithTheDriver) {
  const int64_t used_before = UsedBytes(), held_before = Held();
  std::vector<std::shared_ptr<Buffer>> buffers;
  for (int64_t i = 1; i <= 64; ++i) {
    buffers.push_back(backend_->allocator().Allocate(i * 1000003, MemoryCategory::TRANSIENT));
    if (i % 3 == 0) buffers[i / 3].reset();
  }
  const auto used = static_cast<double>(UsedBytes() - used_before);
  EXPECT_NEAR(static_cast<double>(Held() - held_before), used, 0.05 * used);
}

TEST_F(GpuMemoryTest, FreedMemoryServesTheNextRequestWithoutTheDriver) {
  backend_->allocator().Allocate(100 << 20, MemoryCategory::TRANSIENT).reset();
  const int64_t used = UsedBytes(), held = Held();
  for (int i = 0; i < 10; ++i) {
    backend_->allocator().Allocate(100 << 20, MemoryCategory::SAVED).reset();
  }
  EXPECT_EQ(UsedBytes(), used);
  EXPECT_EQ(Held(), held);
}

TEST_F(GpuMemoryTest, MoreThanThereIsIsAnErrorAndHarmless) {
  Allocator& allocator = backend_->allocator();
  allocator.set_limit(0);  // for the driver to refuse
  const int64_t held = Held();
  try {
    allocator.Allocate(int64_t{1} << 42, MemoryCategory::TRANSIENT);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::MEMORY);
  }
  EXPECT_EQ(Held(), held);
  allocator.Allocate(1 << 20, MemoryCategory::TRANSIENT);
}

}  // namespace
}  // namespace encke
