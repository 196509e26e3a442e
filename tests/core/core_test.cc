// What everything else stands on: random numbers, bfloat16, tensors, the ledger and the resident
// set behind it.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <thread>
#include <vector>

#include "engine/core/device.h"
#include "engine/core/dtype.h"
#include "engine/core/error.h"
#include "engine/core/memory.h"
#include "engine/core/npy.h"
#include "engine/core/parallel.h"
#include "engine/core/rng.h"
#include "engine/core/tensor.h"

namespace encke {
namespace {

// Known answers of the generator's authors (Random123, kat_vectors).
TEST(RngTest, PhiloxGivesItsAuthorsAnswers) {
  const std::array<uint32_t, 4> zeros = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
  EXPECT_EQ(Philox4x32(0, 0, 0), zeros);
  const std::array<uint32_t, 4> ones = {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
  EXPECT_EQ(Philox4x32(~0ull, ~0ull, ~0ull), ones);
}

TEST(RngTest, MomentsAreThoseOfTheDistributions) {
  Rng rng(7, RngStream::TEST);
  const int n = 200000;
  double uniform = 0, normal = 0, squares = 0;
  for (int i = 0; i < n; ++i) {
    uniform += rng.Uniform();
    const double x = rng.Normal();
    normal += x;
    squares += x * x;
  }
  EXPECT_NEAR(uniform / n, 0.5, 0.005);
  EXPECT_NEAR(normal / n, 0.0, 0.01);
  EXPECT_NEAR(squares / n, 1.0, 0.02);
}

TEST(RngTest, StreamsAndSubstreamsDiffer) {
  const uint64_t base = Rng(1, RngStream::INIT, 5).NextU64();
  EXPECT_EQ(Rng(1, RngStream::INIT, 5).NextU64(), base);
  EXPECT_NE(Rng(1, RngStream::INIT, 6).NextU64(), base);
  EXPECT_NE(Rng(1, RngStream::SHUFFLE, 5).NextU64(), base);
  EXPECT_NE(Rng(2, RngStream::INIT, 5).NextU64(), base);
}

TEST(Bfloat16Test, RoundsToNearestEvenAndKeepsSpecials) {
  EXPECT_EQ(static_cast<float>(bfloat16(1.0f)), 1.0f);
  EXPECT_EQ(bfloat16(1.00390625f).bits, bfloat16(1.0f).bits);       // tie, to even
  EXPECT_EQ(static_cast<float>(bfloat16(1.01171875f)), 1.015625f);  // tie, to even, upwards
  EXPECT_TRUE(std::isinf(static_cast<float>(bfloat16(3.4e38f))));
  EXPECT_TRUE(std::isnan(static_cast<float>(bfloat16(std::nanf("")))));
  EXPECT_TRUE(std::signbit(static_cast<float>(bfloat16(-0.0f))));
}

TEST(TensorTest, SlicesShareMemory) {
  auto allocator = NewCpuAllocator();
  Tensor tensor = Tensor::Empty(*allocator, {4, 2, 3, 5}, DType::F32, MemoryCategory::TRANSIENT);
  tensor.Slice(1, 2).data<float>()[0] = 42.0f;
  EXPECT_EQ(tensor.data<float>()[30], 42.0f);
  EXPECT_EQ(tensor.Slice(3, 1).elements(), 30);
  EXPECT_DEATH(tensor.Slice(3, 2), "check failed");
  EXPECT_DEATH(tensor.data<uint8_t>(), "fp32");
}

TEST(LedgerTest, TotalIsWhatIsHeldAndPeakIsTheMostInUse) {
  auto allocator = NewCpuAllocator();
  MemoryLedger& ledger = allocator->ledger();
  auto arena = allocator->Allocate(1000, MemoryCategory::UNUSED);
  ledger.Move(MemoryCategory::UNUSED, MemoryCategory::SAVED, 600);
  {
    auto parameters = allocator->Allocate(500, MemoryCategory::PARAMETER);
    EXPECT_EQ(ledger.Current().total(), 1500);
    EXPECT_EQ(ledger.Current().in_use(), 1100);
  }
  ledger.Move(MemoryCategory::SAVED, MemoryCategory::UNUSED, 600);
  EXPECT_EQ(ledger.Current().total(), 1000);
  const MemoryUse peak = ledger.Peak();
  EXPECT_EQ(peak.total(), 1500);
  EXPECT_EQ(peak.of(MemoryCategory::SAVED), 600);
  EXPECT_EQ(peak.of(MemoryCategory::PARAMETER), 500);
  EXPECT_EQ(peak.of(MemoryCategory::UNUSED), 400);
}

TEST(AllocatorTest, LimitIsAnErrorThatSaysWhatIsHeld) {
  auto allocator = NewCpuAllocator();
  allocator->set_limit(1000);
  auto held = allocator->Allocate(700, MemoryCategory::DATA);
  try {
    allocator->Allocate(400, MemoryCategory::SAVED);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::MEMORY);
    EXPECT_NE(error.message().find("700 B are held"), std::string::npos) << error.what();
  }
  EXPECT_EQ(allocator->ledger().Current().total(), 700);
}

// In a child process, so that nothing else moves the resident set: 1.5 GiB in pieces of all sizes,
// then half of it freed.
int CompareLedgerWithResidentSet() {
  auto allocator = NewCpuAllocator();
  const int64_t before = ResidentBytes();
  std::vector<std::shared_ptr<Buffer>> buffers;
  const auto agrees = [&] {
    const double held = static_cast<double>(allocator->ledger().Current().total());
    return std::abs((ResidentBytes() - before) / held - 1.0) < 0.05;
  };
  const int64_t sizes[] = {100 << 10, 300 << 10, (2 << 20) + 4096, 37 << 20, 150 << 20};
  while (allocator->ledger().Current().total() < int64_t{3} << 29) {
    for (int64_t size : sizes) {
      buffers.push_back(allocator->Allocate(size, MemoryCategory::SAVED));
      std::memset(buffers.back()->data(), 1, size);
    }
  }
  if (!agrees()) return 1;
  buffers.resize(buffers.size() / 2);
  return agrees() ? 0 : 2;
}

TEST(LedgerTest, AgreesWithTheResidentSet) {
  const pid_t child = fork();
  if (child == 0) _exit(CompareLedgerWithResidentSet());
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0) << "1: after allocation, 2: after freeing half";
}

TEST(ParallelTest, CoversEverythingOnce) {
  for (int64_t n : {0, 1, 2, 3, 63, 64, 1000}) {
    std::vector<std::atomic<int>> hits(n);
    ParallelFor(n, 7, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) ++hits[i];
    });
    for (const auto& hit : hits) EXPECT_EQ(hit, 1);
  }
}

TEST(DeviceTest, ParsesAndRefuses) {
  EXPECT_EQ(Device::Parse("cuda:3").index, 3);
  EXPECT_EQ(Device::Parse("cpu").ToString(), "cpu");
  EXPECT_THROW(Device::Parse("gpu"), Error);
  EXPECT_THROW(Device::Parse("cuda:x"), Error);
}

TEST(NpyTest, RoundTripsAndRefusesTruncation) {
  const std::string path = testing::TempDir() + "/array.npy";
  const std::vector<float> data = {1, -2, 3.5f, 0, 5, 6};
  WriteNpy(path, {2, 3}, data.data());
  const NpyArray array = ReadNpy(path);
  EXPECT_EQ(array.shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(array.data, data);
  ASSERT_EQ(truncate(path.c_str(), 128 + 20), 0);
  EXPECT_THROW(ReadNpy(path), Error);
}

TEST(ErrorTest, PlaceMessageAndHint) {
  const Error error(ErrorKind::CONFIG, "bad", "a.textproto:3:1", "do this");
  EXPECT_STREQ(error.what(), "a.textproto:3:1: bad\n  hint: do this");
  EXPECT_EQ(ExitCode(ErrorKind::CONFIG), 2);
  EXPECT_EQ(ExitCode(ErrorKind::DATA), 3);
  EXPECT_EQ(ExitCode(ErrorKind::MEMORY), 4);
  EXPECT_EQ(ExitCode(ErrorKind::DEVICE), 5);
}

}  // namespace
}  // namespace encke
