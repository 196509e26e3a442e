// The pool with a file: values come back as from memory, take no memory meanwhile, and damage on
// the disk is noticed.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "compression/activation_store.h"
#include "engine/core/error.h"
#include "tests/compression/codec_testing.h"

namespace encke {
namespace {

namespace fs = std::filesystem;

class OffloadTest : public ::testing::Test {
 protected:
  Tensor NewTensor(const Shape& shape) {
    return Tensor::Empty(*allocator_, shape, DType::F32, MemoryCategory::TRANSIENT);
  }
  Tensor Maps(const Shape& shape) {
    const std::vector<float> data = testing::ReluMaps(shape, 1);
    Tensor tensor = NewTensor(shape);
    std::memcpy(tensor.raw(), data.data(), tensor.bytes());
    return tensor;
  }
  std::unique_ptr<ActivationStore> NewStore(StoreOptions options) {
    options.offload_folder = ::testing::TempDir();
    return NewCompressedStore(*allocator_, options);
  }
  std::unique_ptr<ActivationStore> NewOffloadingStore() {
    StoreOptions options;
    options.offload = true;
    return NewStore(options);
  }
  MemoryUse Use() { return allocator_->ledger().Current(); }

  std::unique_ptr<Allocator> allocator_ = NewCpuAllocator();
  const Shape shape_{16, 28, 28, 32};
  const Tensor x_ = Maps(shape_);
};

PutOptions Options(Tier tier, const std::string& codec = "fast") {
  return {codec, testing::Uniform(0.1f, /*mask=*/true), tier, "conv1"};
}

bool SameBytes(const Tensor& a, const Tensor& b) {
  return std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

// Flips a bit of the byte at `offset` in the unlinked file that this process has open.
void DamageOpenFile(int64_t offset) {
  for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
    std::error_code ignored;
    const std::string target = fs::read_symlink(entry.path(), ignored).string();
    if (target.find("encke-offload-") == std::string::npos) continue;
    const int descriptor = open(entry.path().c_str(), O_RDWR);
    ASSERT_GE(descriptor, 0);
    uint8_t byte = 0;
    ASSERT_EQ(pread(descriptor, &byte, 1, offset), 1);
    byte ^= 4;
    ASSERT_EQ(pwrite(descriptor, &byte, 1, offset), 1);
    close(descriptor);
    return;
  }
  FAIL() << "no offload file is open";
}

TEST_F(OffloadTest, ValuesComeBackAsFromMemoryWhole) {
  const auto store = NewOffloadingStore();
  for (const char* codec : {"fast", "dense", "lossless", "quant4", "jpeg"}) {
    store->Put(1, x_, Options(Tier::MEMORY, codec));
    store->Put(2, x_, Options(Tier::OFFLOADED, codec));
    const Tensor memory = store->Get(1, 0, 16, NewTensor(shape_));
    EXPECT_TRUE(SameBytes(memory, store->Get(2, 0, 16, NewTensor(shape_)))) << codec;
    const Tensor part = store->Get(2, 5, 3, NewTensor(shape_.WithBatch(3)));
    EXPECT_TRUE(SameBytes(memory.Slice(5, 3), part)) << codec;
    store->Release(1);
    store->Release(2);
  }
}

TEST_F(OffloadTest, IsCountedApartFromSavedMemory) {
  const auto store = NewOffloadingStore();
  const StoredValue stored = store->Put(1, x_, Options(Tier::OFFLOADED));
  EXPECT_GT(stored.offloaded_bytes, 0);
  EXPECT_LT(stored.offloaded_bytes, stored.stored_bytes) << "its table stays in memory";
  EXPECT_EQ(store->offloaded_bytes(), stored.offloaded_bytes);
  EXPECT_EQ(Use().of(MemoryCategory::SAVED), 0);
  EXPECT_EQ(Use().of(MemoryCategory::UNUSED), 0);
  EXPECT_EQ(store->Put(2, x_, Options(Tier::MEMORY)).offloaded_bytes, 0);
  store->Release(2);
  store->Release(1);
  EXPECT_EQ(store->offloaded_bytes(), 0);
}

TEST_F(OffloadTest, DoesNotStayResident) {
  const auto store = NewOffloadingStore();
  const Tensor x = Maps({16, 64, 64, 32});  // 8 MiB
  store->Put(0, x, Options(Tier::OFFLOADED, "raw"));
  const int64_t before = ResidentBytes();
  for (int id = 1; id < 17; ++id) store->Put(id, x, Options(Tier::OFFLOADED, "raw"));
  EXPECT_GE(store->offloaded_bytes(), 17 * x.bytes());
  EXPECT_LT(ResidentBytes() - before, x.bytes());
}

// Threads write their chunks in any order, so that any one of them may lie where the damage is
// done.
TEST_F(OffloadTest, DamageIsReportedWithValueAndChunk) {
  const auto store = NewOffloadingStore();
  const StoredValue stored = store->Put(1, x_, Options(Tier::OFFLOADED));
  const Tensor whole = NewTensor(shape_);
  store->Get(1, 0, 16, whole);
  DamageOpenFile(stored.offloaded_bytes - 100);  // one file, one value: in the chunk written last
  std::vector<std::string> places;
  for (int chunk = 0; chunk < 8; ++chunk) {
    try {
      const Tensor part = store->Get(1, 2 * chunk, 2, NewTensor(shape_.WithBatch(2)));
      EXPECT_TRUE(SameBytes(whole.Slice(2 * chunk, 2), part)) << "chunk " << chunk;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::CORRUPTION);
      EXPECT_EQ(error.place(), "chunk " + std::to_string(chunk) + " of 8 of value conv1");
      places.push_back(error.place());
    }
  }
  EXPECT_EQ(places.size(), 1);
  EXPECT_THROW(store->Get(1, 0, 16, NewTensor(shape_)), Error);
}

TEST_F(OffloadTest, SpillingTakesWhatTheLimitRefuses) {
  StoreOptions options;
  options.limit_bytes = 700 << 10;
  options.spill = true;
  const auto store = NewStore(options);
  int64_t stored = 0;
  for (int id = 0; id < 20; ++id) stored += store->Put(id, x_, Options(Tier::MEMORY)).stored_bytes;
  EXPECT_LE(Use().of(MemoryCategory::SAVED) + Use().of(MemoryCategory::UNUSED), 700 << 10);
  EXPECT_GT(Use().of(MemoryCategory::SAVED), 500 << 10);
  EXPECT_GT(store->offloaded_bytes(), stored / 2);
  const Tensor first = store->Get(0, 0, 16, NewTensor(shape_));
  for (int id = 1; id < 20; ++id) {
    EXPECT_TRUE(SameBytes(first, store->Get(id, 0, 16, NewTensor(shape_)))) << id;
  }
}

TEST_F(OffloadTest, AFolderThatIsNotThereIsAnErrorAtOnce) {
  StoreOptions options;
  options.offload = true;
  options.offload_folder = "/nowhere/at/all";
  EXPECT_THROW(NewCompressedStore(*allocator_, options), Error);
}

}  // namespace
}  // namespace encke
