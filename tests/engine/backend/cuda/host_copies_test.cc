// Copies to and from the host over an emulated runtime that does what a stream was told as late as
// it may.
#include "engine/backend/cuda/host_copies.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/emulated_gpu/emulated_gpu.h"

namespace encke::cuda {
namespace {

class HostCopiesTest : public ::testing::Test {
 protected:
  HostCopiesTest() { cudaStreamCreateWithFlags(&stream_, 0); }
  ~HostCopiesTest() override { cudaStreamDestroy(stream_); }

  Tensor Floats(int64_t count) {
    return Tensor::Empty(*allocator_, Shape::Vector(count), DType::F32, MemoryCategory::TRANSIENT);
  }
  // As a kernel would.
  void Fill(const Tensor& tensor, float value) {
    emulated_gpu::Enqueue(stream_, [=] {
      std::fill(tensor.data<float>(), tensor.data<float>() + tensor.elements(), value);
    });
  }

  std::unique_ptr<Allocator> allocator_ = NewCpuAllocator();
  cudaStream_t stream_ = nullptr;
};

TEST_F(HostCopiesTest, BringWhatTheStreamHadMadeByThen) {
  HostCopies copies(stream_);
  const Tensor a = Floats(3), b = Floats(1500);
  for (int round = 0; round < 3; ++round) {
    const auto value = static_cast<float>(10 * round);
    Fill(a, value + 1);
    Fill(b, value + 2);
    emulated_gpu::TakeHostWaits();
    const auto both = copies.Start({a, b});
    Fill(a, value + 3);
    const auto later = copies.Start({a});
    EXPECT_EQ(emulated_gpu::TakeHostWaits(), 0);
    const auto* floats = static_cast<const float*>(both->Wait());
    EXPECT_EQ(emulated_gpu::TakeHostWaits(), 1);
    for (int i = 0; i < 1503; ++i) ASSERT_EQ(floats[i], value + (i < 3 ? 1 : 2)) << i;
    EXPECT_EQ(static_cast<const float*>(later->Wait())[2], value + 3);
    EXPECT_EQ(floats[0], value + 1) << "as long as the copy lives";
  }
}

// An error may end a pass before a copy is read.
TEST_F(HostCopiesTest, UseTheMemoryOfCopiesThatAreGone) {
  HostCopies copies(stream_);
  const Tensor small = Floats(8), large = Floats(5000);
  const void* first = copies.Start({large})->Wait();
  for (int i = 0; i < 3; ++i) {
    Fill(large, static_cast<float>(i));
    copies.Start({large});
    Fill(small, static_cast<float>(-i));
    const auto copy = copies.Start({small, small});
    EXPECT_EQ(copy->Wait(), first);
    for (int k = 0; k < 16; ++k) EXPECT_EQ(static_cast<const float*>(copy->Wait())[k], -i);
  }
}

TEST_F(HostCopiesTest, ACopyThatIsGoneSpoilsNothingOnItsWayToTheDevice) {
  HostCopies copies(stream_);
  const Tensor small = Floats(8), large = Floats(5000);
  Fill(large, 7.0f);
  copies.Start({large});
  const std::vector<float> there(8, 1.0f);
  std::vector<float> back(8);
  copies.FromHost(there.data(), small);
  copies.ToHost(small, back.data());
  EXPECT_EQ(back, there);
}

TEST_F(HostCopiesTest, BringSmallAndLargeTensorsBothWays) {
  HostCopies copies(stream_);
  for (const int64_t count : {5, 5000, 500000}) {
    const Tensor tensor = Floats(count);
    std::vector<float> there(count), back(count);
    for (int round = 0; round < 20; ++round) {
      std::fill(there.begin(), there.end(), static_cast<float>(round + 1));
      copies.FromHost(there.data(), tensor);
      std::fill(there.begin(), there.end(), 0.0f);
      if (round % 3 == 0) continue;  // several are on their way
      copies.ToHost(tensor, back.data());
      ASSERT_EQ(back, std::vector<float>(count, static_cast<float>(round + 1)));
    }
  }
}

TEST_F(HostCopiesTest, OfSmallTensorsToTheDeviceWaitForNothing) {
  HostCopies copies(stream_);
  const Tensor a = Floats(1000), b = Floats(3000);
  const std::vector<float> values(3000, 1.0f);
  for (int round = 0; round < 5; ++round) {
    emulated_gpu::TakeHostWaits();
    emulated_gpu::TakeCosts();
    for (const Tensor& tensor : {a, b, a, b}) copies.FromHost(values.data(), tensor);
    EXPECT_EQ(emulated_gpu::TakeHostWaits(), 0);
    const emulated_gpu::Costs costs = emulated_gpu::TakeCosts();
    EXPECT_EQ(costs.pageable_copies, 0);
    if (round > 0) {
      EXPECT_EQ(costs.page_locked + costs.events, 0);
    }
    cudaStreamSynchronize(stream_);
  }
}

}  // namespace
}  // namespace encke::cuda
