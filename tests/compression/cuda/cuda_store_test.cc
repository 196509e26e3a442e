// The GPU's pool of saved values over an emulated runtime that does what streams were told in any
// order that events allow: no value is lost, late, or overwritten too early.
#include "compression/cuda/cuda_store.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "engine/core/error.h"
#include "engine/core/rng.h"
#include "gtest/gtest.h"
#include "tests/compression/codec_testing.h"
#include "tests/emulated_gpu/emulated_gpu.h"

namespace encke {
namespace {

constexpr float kBound = 0.05f;

PutOptions Options(const std::string& codec, Tier tier = Tier::MEMORY) {
  PutOptions options;
  options.codec = codec;
  options.tier = tier;
  return options;
}

// A network's iterations: every value is computed where the value before it was, put, and fetched
// in the reverse order, two at a time, sample by sample.
class Training {
 public:
  // `offloaded`: the share of the values, about.
  Training(uint64_t seed, const cuda::CudaStoreOptions& options, int values, double offloaded = 0)
      : rng_(seed, RngStream::TEST), overlap_(options.overlap) {
    emulated_gpu::SeedOrder(seed);
    cudaStreamCreateWithFlags(&compute_, 0);
    cuda::CudaStoreOptions own = options;
    own.compute = compute_;
    store_ = cuda::NewCudaStore(*allocator_, own);
    for (int i = 0; i < values; ++i) {
      const auto batch = static_cast<int64_t>(1 + rng_.Below(kMostSamples));
      shapes_.push_back({batch, 7, 7, static_cast<int64_t>(16 + rng_.Below(40))});
      masks_.push_back(rng_.Below(2) == 0);
      codecs_.push_back(rng_.Below(5) == 0 ? "raw" : rng_.Below(2) == 0 ? "fast" : "dense");
      tiers_.push_back(rng_.Uniform() < offloaded ? Tier::OFFLOADED : Tier::MEMORY);
    }
    for (std::shared_ptr<Buffer>* memory : {&forward_, &backward_}) {
      *memory = allocator_->Allocate(kMostSamples * 7 * 7 * 56 * 4, MemoryCategory::TRANSIENT);
    }
  }
  ~Training() {
    store_.reset();
    cudaStreamDestroy(compute_);
  }

  // Lends so much space, which the computation itself uses the lower part of: the less, the later.
  void Lend(int64_t bytes) {
    lent_ = allocator_->Allocate(bytes, MemoryCategory::UNUSED);
    store_->Borrow(lent_);
  }

  // Values have sides from now on, which change in each iteration.
  void UseActivities() { activities_ = true; }

  ActivationStore& store() { return *store_; }
  const std::vector<StoredValue>& stored() const { return stored_; }
  int64_t held() const { return allocator_->ledger().Current().total(); }
  int64_t peak() const { return allocator_->ledger().Peak().total(); }
  double worst() const { return worst_; }  // error over bound; infinite for what must be exact

  void Iterate(int iteration) {
    const auto count = static_cast<int>(shapes_.size());
    stored_.clear();
    for (int i = 0; i < count; ++i) Forward(iteration, i);
    for (int i = count - 1; i >= 0; i -= 2) Backward(iteration, {i, std::max(i - 1, 0)});
  }

  void Finish() { cudaStreamSynchronize(compute_); }

 private:
  static constexpr int64_t kMostSamples = 4;

  Tensor TensorAt(const std::shared_ptr<Buffer>& memory, int i) const {
    return Tensor(memory, 0, shapes_[i], DType::F32);
  }

  std::vector<float> Data(int iteration, int i) const {
    return testing::ReluMaps(shapes_[i], static_cast<uint64_t>(iteration * 1000 + i));
  }

  void Forward(int iteration, int i) {
    const Tensor tensor = TensorAt(forward_, i);
    const std::vector<float> data = Data(iteration, i);
    emulated_gpu::Enqueue(
        compute_, [=] { std::memcpy(tensor.raw(), data.data(), data.size() * sizeof(float)); });
    PutOptions options = {codecs_[i], testing::Uniform(kBound, masks_[i]), tiers_[i]};
    if (activities_) options.coding = Split(shapes_[i].c, iteration);
    options.floor = lent_ == nullptr ? -1 : lent_->bytes() / (i + 2);
    stored_.push_back(store_->Put(i, tensor, options));
    if (overlap_) store_->BeforeOverwrite(i);
    if (lent_ == nullptr) return;
    emulated_gpu::Enqueue(
        compute_, [=] { std::memset(lent_->data(), 0xff, static_cast<size_t>(options.floor)); });
  }

  // Like that of a batch norm's input, whose statistics change.
  static CodecOptions Split(int64_t channels, int iteration) {
    const float threshold = 0.1f + 0.001f * static_cast<float>(iteration);
    return testing::UniformActivity(channels, threshold, kBound, kBound);
  }

  void Backward(int iteration, const std::set<int>& values) {
    for (int64_t sample = 0; sample < kMostSamples; ++sample) {
      for (int i : values) {
        if (sample < shapes_[i].n) Fetch(iteration, i, sample);
      }
    }
    for (int i : values) store_->Release(i);
  }

  void Fetch(int iteration, int i, int64_t sample) {
    const Tensor tensor = TensorAt(backward_, i).Slice(0, 1);
    if (rng_.Below(2) == 0) store_->Prefetch(i, sample, 1, tensor);
    const Tensor decoded = store_->Get(i, sample, 1, tensor);
    const std::vector<float> data = Data(iteration, i);
    const double bound = codecs_[i] == "raw" ? 0 : kBound;
    emulated_gpu::Enqueue(compute_, [=] {
      const float* expected = data.data() + sample * decoded.elements();
      for (int64_t k = 0; k < decoded.elements(); ++k) {
        const double error = std::abs(double{decoded.data<float>()[k]} - expected[k]);
        if (error > 0) worst_ = std::max(worst_, error / bound);
      }
      std::memset(tensor.raw(), 0xff, tensor.bytes());
    });
  }

  Rng rng_;
  bool overlap_, activities_ = false;
  std::unique_ptr<Allocator> allocator_ = NewCpuAllocator();
  cudaStream_t compute_ = nullptr;
  std::unique_ptr<ActivationStore> store_;
  std::vector<Shape> shapes_;
  std::vector<std::string> codecs_;
  std::vector<bool> masks_;
  std::vector<Tier> tiers_;
  std::shared_ptr<Buffer> forward_, backward_, lent_;
  std::vector<StoredValue> stored_;
  double worst_ = 0;
};

TEST(CudaStore, KeepsEveryValueWhateverTheOrderOfTheDevice) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    cuda::CudaStoreOptions options;
    options.overlap = seed % 2 == 0;
    options.limit_bytes = seed % 5 == 0 ? 100 << 10 : 0;
    options.spill = true;
    Training training(seed, options, 12, static_cast<double>(seed % 3) / 2);
    if (seed % 4 == 0) training.Lend(200001);
    for (int iteration = 0; iteration < 4; ++iteration) training.Iterate(iteration);
    training.Finish();
    EXPECT_LE(training.worst(), 1) << seed;
    EXPECT_EQ(training.store().stored_bytes(), 0);
    EXPECT_EQ(training.store().offloaded_bytes(), 0);
  }
}

// Its own memory is then for what does not fit.
TEST(CudaStore, BorrowsWhatTheComputationLeaves) {
  int64_t peaks[2];
  for (const bool lends : {false, true}) {
    Training training(11, {}, 40);
    if (lends) training.Lend(8 << 20);
    for (int iteration = 0; iteration < 3; ++iteration) training.Iterate(iteration);
    training.Finish();
    EXPECT_LE(training.worst(), 1);
    peaks[lends] = training.peak() - (lends ? 8 << 20 : 0);
  }
  EXPECT_LT(peaks[true], peaks[false] - (1 << 20));
}

// Whether it is made at once or grows, has a limit or is expected anew.
TEST(CudaStore, MakesRoomForWhatIsExpected) {
  Training training(13, {}, 24);
  const int64_t before = training.held();
  training.store().Expect(3 << 20);
  EXPECT_EQ(training.held() - before, 3 << 20);
  training.Iterate(0);
  training.Iterate(1);
  training.store().Expect(20 << 20);
  EXPECT_NEAR(static_cast<double>(training.held() - before), 20 << 20, 1 << 20);
  training.store().Expect(1 << 20);
  EXPECT_NEAR(static_cast<double>(training.held() - before), 20 << 20, 1 << 20);
  training.Iterate(2);
  training.Finish();
  EXPECT_LE(training.worst(), 1);
  cuda::CudaStoreOptions limited;
  limited.limit_bytes = 1 << 20;
  Training within(13, limited, 4);
  const int64_t held = within.held();
  within.store().Expect(3 << 20);
  EXPECT_EQ(within.held() - held, 1 << 20);
}

TEST(CudaStore, WaitsOnlyInTheFirstIteration) {
  for (const bool lends : {false, true}) {
    Training training(3, {}, 12);
    training.store().Expect(4 << 20);
    if (lends) training.Lend(200000);
    emulated_gpu::TakeHostWaits();
    training.Iterate(0);
    EXPECT_GE(emulated_gpu::TakeHostWaits(), 12);
    const int64_t held = training.held();
    for (int iteration = 1; iteration < 4; ++iteration) training.Iterate(iteration);
    EXPECT_EQ(emulated_gpu::TakeHostWaits(), 0);
    EXPECT_NEAR(static_cast<double>(training.held()), static_cast<double>(held), 4096);  // tables
  }
}

// However often tables are learnt in the meantime.
TEST(CudaStore, TakesNothingFromTheDriverInTheSteadyState) {
  for (const bool activities : {false, true}) {
    Training training(17, {}, 12);
    training.store().Expect(4 << 20);
    if (activities) training.UseActivities();
    for (int iteration = 0; iteration < 3; ++iteration) {
      training.Iterate(iteration);
      training.Finish();
    }
    emulated_gpu::TakeCosts();
    const int64_t held = training.held();
    for (int iteration = 3; iteration < 40; ++iteration) {
      training.Iterate(iteration);
      training.Finish();
    }
    const emulated_gpu::Costs costs = emulated_gpu::TakeCosts();
    EXPECT_EQ(costs.page_locked, 0);
    EXPECT_LT(costs.events, 6) << "what is recorded a little earlier than seen, of 1800";
    EXPECT_EQ(costs.pageable_copies, 0);
    EXPECT_EQ(training.held(), held);
    EXPECT_LE(training.worst(), 1);
  }
}

// Of each value the record, when it has been encoded and when it is released, and a sample when
// tables are due to be learnt anew.
TEST(CudaStore, SeldomReadsValuesBack) {
  constexpr int kValues = 12, kIterations = 34;
  Training training(19, {}, kValues);
  training.store().Expect(4 << 20);
  training.UseActivities();
  const auto samples = [&](int iteration) {
    emulated_gpu::TakeCopiesToHost();
    training.Iterate(iteration);
    training.Finish();
    return emulated_gpu::TakeCopiesToHost() - 2 * kValues;
  };
  const int of_all_values = samples(0);
  EXPECT_GT(of_all_values, 0);
  EXPECT_EQ(samples(1), 0);
  int later = 0, most = 0;
  for (int iteration = 2; iteration < kIterations; ++iteration) {
    const int now = samples(iteration);
    later += now;
    most = std::max(most, now);
  }
  EXPECT_GE(later, of_all_values);
  EXPECT_LE(later, 3 * of_all_values);
  EXPECT_LT(most, of_all_values / 2) << "not all values' tables are due at a time";
}

TEST(CudaStore, TellsWhatTheDeviceFoundOneIterationLate) {
  Training training(5, {}, 6);
  training.Iterate(0);
  const std::vector<StoredValue> first = training.stored();
  for (const StoredValue& value : first) {
    EXPECT_GT(value.stored_bytes, 0);
    EXPECT_LT(value.stored_bytes, value.raw_bytes * 5 / 4);
    EXPECT_GT(value.statistics.nonzero, 0);
    EXPECT_LT(value.statistics.nonzero, value.statistics.elements);
    EXPECT_GT(value.statistics.sum_of_squares, 0);
  }
  training.Iterate(1);
  for (size_t i = 0; i < first.size(); ++i) {
    EXPECT_EQ(training.stored()[i].statistics.nonzero, first[i].statistics.nonzero);
  }
}

TEST(CudaStore, OffloadedValuesTakeNoMemoryOfTheDevice) {
  Training kept(7, {}, 12), offloaded(7, {}, 12, 1);
  for (Training* training : {&kept, &offloaded}) {
    training->Iterate(0);
    training->Iterate(1);
    training->Finish();
    EXPECT_LE(training->worst(), 1);
  }
  for (size_t i = 0; i < kept.stored().size(); ++i) {
    EXPECT_EQ(kept.stored()[i].offloaded_bytes, 0);
    EXPECT_EQ(offloaded.stored()[i].offloaded_bytes, offloaded.stored()[i].stored_bytes);
    EXPECT_EQ(offloaded.stored()[i].stored_bytes, kept.stored()[i].stored_bytes);
  }
  EXPECT_LT(offloaded.peak(), kept.peak());
}

// However often parts of two values in turn are decoded; nor does it count which of the two places
// they are in when a third comes.
TEST(CudaStore, OffloadedValuesCrossTheBusOnce) {
  const std::unique_ptr<Allocator> allocator = NewCpuAllocator();
  cuda::CudaStoreOptions options;
  cudaStreamCreateWithFlags(&options.compute, 0);
  {
    const auto store = cuda::NewCudaStore(*allocator, options);
    const Shape shape = {4, 14, 14, 200};
    const Tensor tensor = Tensor::Empty(*allocator, shape, DType::F32, MemoryCategory::TRANSIENT);
    std::memset(tensor.raw(), 0x3f, tensor.bytes());
    int64_t stored = 0, largest = 0;
    for (int id : {0, 1, 2}) {
      const int64_t bytes = store->Put(id, tensor, Options("raw", Tier::OFFLOADED)).stored_bytes;
      stored += bytes;
      largest = std::max(largest, bytes);
    }
    const int64_t before = allocator->ledger().Current().of(MemoryCategory::WORKSPACE);
    emulated_gpu::TakeCopiedToDevice();
    for (int64_t sample : {0, 1, 2, 3}) {
      for (int id : {0, 1}) store->Get(id, sample, 1, tensor);
    }
    for (int id : {2, 1}) store->Get(id, 0, 4, tensor);
    cudaStreamSynchronize(options.compute);
    EXPECT_EQ(emulated_gpu::TakeCopiedToDevice(), stored);
    const int64_t staging = allocator->ledger().Current().of(MemoryCategory::WORKSPACE) - before;
    EXPECT_EQ(staging, 2 * largest);
    EXPECT_NEAR(
        static_cast<double>(cuda::CudaStagingBytes(shape, DType::F32, Tier::OFFLOADED, true)) /
            static_cast<double>(staging),
        1.0, 0.01);
  }
  cudaStreamDestroy(options.compute);
}

class LimitedCudaStore : public ::testing::TestWithParam<bool> {};  // whether it may spill

// Values of 0.6 MiB each, with what the limit leaves to what they may take.
TEST_P(LimitedCudaStore, RefusesOrSpillsWhatWouldPassItsLimit) {
  const std::unique_ptr<Allocator> allocator = NewCpuAllocator();
  cuda::CudaStoreOptions options;
  cudaStreamCreateWithFlags(&options.compute, 0);
  options.limit_bytes = 2 << 20;
  options.spill = GetParam();
  {
    const auto store = cuda::NewCudaStore(*allocator, options);
    const Tensor tensor =
        Tensor::Empty(*allocator, {4, 14, 14, 200}, DType::F32, MemoryCategory::TRANSIENT);
    std::memset(tensor.raw(), 0x3f, tensor.bytes());
    int put = 0;
    // Bound 0: nothing shrinks.
    const auto put_more = [&] {
      while (put < 10) {
        store->Put(put, tensor, Options("raw"));
        ++put;
      }
    };
    if (options.spill) {
      put_more();
      EXPECT_EQ(store->offloaded_bytes() / 7, store->stored_bytes() / 10);
    } else {
      EXPECT_THROW(put_more(), Error);
      EXPECT_EQ(put, 3);
    }
    EXPECT_LE(allocator->ledger().Current().total(), 4 << 20);
    // Those that were taken are still there.
    const Tensor scratch =
        Tensor::Empty(*allocator, {4, 14, 14, 200}, DType::F32, MemoryCategory::TRANSIENT);
    for (int id = 0; id < put; ++id) {
      store->Get(id, 0, 4, scratch);
      cudaStreamSynchronize(options.compute);
      EXPECT_EQ(std::memcmp(scratch.raw(), tensor.raw(), tensor.bytes()), 0);
    }
  }
  cudaStreamDestroy(options.compute);
}

INSTANTIATE_TEST_SUITE_P(Spill, LimitedCudaStore, ::testing::Bool());

TEST(CudaStore, KeepsTensorsInPlaceWhenAsked) {
  const std::unique_ptr<Allocator> allocator = NewCpuAllocator();
  cuda::CudaStoreOptions options;
  cudaStreamCreateWithFlags(&options.compute, 0);
  {
    const auto store = cuda::NewCudaStore(*allocator, options);
    const Tensor tensor =
        Tensor::Empty(*allocator, {4, 1, 1, 8}, DType::F32, MemoryCategory::TRANSIENT);
    store->Put(0, tensor, Options("", Tier::IN_PLACE));
    EXPECT_EQ(store->Get(0, 1, 2, Tensor()).raw(), tensor.Slice(1, 2).raw());
    EXPECT_EQ(store->stored_bytes(), tensor.bytes());
    store->Release(0);
    EXPECT_EQ(store->stored_bytes(), 0);
  }
  cudaStreamDestroy(options.compute);
}

TEST(CudaStore, NamesCodecsThatItDoesNotHave) {
  const std::unique_ptr<Allocator> allocator = NewCpuAllocator();
  cuda::CudaStoreOptions options;
  cudaStreamCreateWithFlags(&options.compute, 0);
  {
    const auto store = cuda::NewCudaStore(*allocator, options);
    const Tensor tensor =
        Tensor::Empty(*allocator, {1, 1, 1, 8}, DType::F32, MemoryCategory::TRANSIENT);
    EXPECT_THROW(store->Put(0, tensor, Options("jpeg")), Error);
  }
  cudaStreamDestroy(options.compute);
}

}  // namespace
}  // namespace encke
