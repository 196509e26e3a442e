#include "compression/activation_store.h"

#include <cmath>
#include <cstring>

#include "compression/chunking.h"
#include "engine/core/error.h"
#include "engine/core/parallel.h"
#include "engine/core/rng.h"
#include "gtest/gtest.h"
#include "tests/compression/codec_testing.h"

namespace encke {
namespace {

class ActivationStoreTest : public ::testing::Test {
 protected:
  Tensor NewTensor(const Shape& shape, DType dtype = DType::F32) {
    return Tensor::Empty(*allocator_, shape, dtype, MemoryCategory::TRANSIENT);
  }
  Tensor Maps(const Shape& shape, uint64_t seed = 1) {
    const std::vector<float> data = testing::ReluMaps(shape, seed);
    Tensor tensor = NewTensor(shape);
    std::memcpy(tensor.raw(), data.data(), tensor.bytes());
    return tensor;
  }
  std::unique_ptr<ActivationStore> NewStore(int64_t limit = 0) {
    StoreOptions options;
    options.limit_bytes = limit;
    return NewCompressedStore(*allocator_, options);
  }
  int64_t Saved() { return allocator_->ledger().Current().of(MemoryCategory::SAVED); }
  int64_t Held() { return Saved() + Unused(); }
  int64_t Unused() { return allocator_->ledger().Current().of(MemoryCategory::UNUSED); }

  std::unique_ptr<Allocator> allocator_ = NewCpuAllocator();
};

CodecOptions Masked(float bound) {
  CodecOptions options;
  options.bound = ErrorBound::Uniform(bound);
  options.mask = true;
  return options;
}

CodecOptions PerChannel(int64_t channels) {
  CodecOptions options;
  for (int64_t c = 0; c < channels; ++c) {
    options.bound.channel.push_back(0.01f * static_cast<float>(c % 3 + 1));
  }
  return options;
}

TEST_F(ActivationStoreTest, InPlaceKeepsTheTensorItself) {
  const auto store = NewStore();
  const Tensor x = Maps({4, 3, 3, 5});
  PutOptions options;
  options.tier = Tier::IN_PLACE;
  EXPECT_EQ(store->Put(1, x, options).stored_bytes, x.bytes());
  EXPECT_EQ(store->Get(1, 2, 2, Tensor()).raw(), x.Slice(2, 2).raw());
  EXPECT_EQ(store->stored_bytes(), x.bytes());
  EXPECT_EQ(Saved() + Unused(), 0) << "its memory is charged already";
  store->Release(1);
  EXPECT_EQ(store->stored_bytes(), 0);
}

// Shapes of all kinds of chunks: many samples in one, one sample, rows of a sample, a vector.
TEST_F(ActivationStoreTest, EverySliceKeepsTheBound) {
  for (const Shape& shape :
       {Shape{37, 5, 7, 16}, Shape{5, 28, 28, 24}, Shape{3, 64, 60, 33}, Shape{9, 1, 1, 4096},
        Shape{2, 1, 1, 20000}, Shape{1, 1, 1, 1}, Shape{600, 1, 1, 10}}) {
    const Tensor x = Maps(shape);
    for (const CodecOptions& options : {Masked(0.1f), PerChannel(shape.c)}) {
      const auto store = NewStore();
      const StoredValue stored = store->Put(7, x, {options.mask ? "dense" : "fast", options});
      EXPECT_EQ(stored.statistics.elements, shape.elements());
      for (int64_t count = 1; count <= shape.n; count = count * 3 + 1) {
        for (int64_t first = 0; first + count <= shape.n; first += count) {
          const Tensor scratch = NewTensor(shape.WithBatch(count + 1));
          const Tensor y = store->Get(7, first, count, scratch);
          EXPECT_EQ(y.shape(), shape.WithBatch(count));
          EXPECT_EQ(testing::ContractViolation(x.Slice(first, count).raw(), y.raw(), DType::F32,
                                               y.shape(), options),
                    "")
              << shape.ToString() << " from " << first << " for " << count;
        }
      }
    }
  }
}

TEST_F(ActivationStoreTest, ChannelMeansCostNothing) {
  const Shape shape{8, 14, 14, 32};
  Rng rng(1, RngStream::TEST);
  Tensor x = NewTensor(shape), shifted = NewTensor(shape);
  CodecOptions options;
  options.bound = ErrorBound::PerChannel(std::vector<float>(shape.c, 0.25f));
  for (int64_t i = 0; i < shape.elements(); ++i) {
    x.data<float>()[i] = static_cast<float>(rng.Normal());
    shifted.data<float>()[i] = x.data<float>()[i] + static_cast<float>(i % shape.c) - 16.0f;
  }
  for (const std::string codec : {"fast", "dense"}) {
    const auto store = NewStore();
    const int64_t plain = store->Put(1, x, {codec, options}).stored_bytes;
    EXPECT_LT(store->Put(2, shifted, {codec, options}).stored_bytes, plain * 1.02) << codec;
    const Tensor y = store->Get(2, 0, 8, NewTensor(shape));
    EXPECT_EQ(testing::ContractViolation(shifted.raw(), y.raw(), DType::F32, shape, options), "");
  }
}

TEST_F(ActivationStoreTest, KeepsBfloat16) {
  const Shape shape{6, 14, 14, 32};
  const std::vector<uint16_t> data = testing::ToBfloat16(testing::ReluMaps(shape, 2));
  Tensor x = NewTensor(shape, DType::BF16);
  std::memcpy(x.raw(), data.data(), x.bytes());
  const auto store = NewStore();
  EXPECT_LT(store->Put(1, x, {"fast", Masked(0.1f)}).stored_bytes, x.bytes() / 5);
  const Tensor y = store->Get(1, 0, 6, NewTensor(shape, DType::BF16));
  EXPECT_EQ(testing::ContractViolation(x.raw(), y.raw(), DType::BF16, shape, Masked(0.1f)), "");
}

// Code tables and centers are learnt from the first slice and counted once.
TEST_F(ActivationStoreTest, SlicesOfAValueShareWhatWasLearnt) {
  const Tensor x = Maps({8, 28, 28, 24});
  for (const CodecOptions& coding : {Masked(0.1f), PerChannel(24)}) {
    const auto store = NewStore();
    PutOptions options{"dense", coding};
    const StoredValue alone = store->Put(1, x.Slice(4, 4), options);
    store->Release(1);
    std::shared_ptr<const ValueCoding> learnt;
    options.learnt = &learnt;
    store->Put(1, x.Slice(0, 4), options);
    const StoredValue second = store->Put(2, x.Slice(4, 4), options);
    EXPECT_LT(second.stored_bytes, alone.stored_bytes);
    store->Release(1);
    EXPECT_EQ(store->stored_bytes(), second.stored_bytes);
    const Tensor y = store->Get(2, 0, 4, NewTensor({4, 28, 28, 24}));
    EXPECT_EQ(
        testing::ContractViolation(x.Slice(4, 4).raw(), y.raw(), DType::F32, y.shape(), coding),
        "");
  }
}

// The prior's tables are for other data: they serve, if badly, and the bounds are the new ones.
TEST_F(ActivationStoreTest, TakesOverWhatAnEarlierPutHasLearnt) {
  const Tensor x = Maps({4, 28, 28, 24});
  Tensor scaled = NewTensor(x.shape());
  for (int64_t i = 0; i < x.elements(); ++i) scaled.data<float>()[i] = 3 * x.data<float>()[i];
  CodecOptions split = testing::UniformActivity(24, 0.3f, 0.05f, 0.5f);
  for (const CodecOptions& coding : {Masked(0.1f), PerChannel(24), split}) {
    const auto store = NewStore();
    std::shared_ptr<const ValueCoding> first, second;
    PutOptions options{"dense", coding};
    options.learnt = &first;
    const StoredValue learnt = store->Put(1, x, options);
    store->Release(1);
    options.learnt = &second;
    options.prior = std::make_shared<LearntCoding>(first->Learnt());
    const StoredValue again = store->Put(1, x, options);
    EXPECT_EQ(again.stored_bytes, learnt.stored_bytes);
    EXPECT_EQ(second->tables, first->tables);
    EXPECT_EQ(second->quantizer.Centers(), first->quantizer.Centers());
    EXPECT_EQ(second->quantizer.activity().centroid, first->quantizer.activity().centroid);
    store->Release(1);
    EXPECT_GT(store->Put(1, scaled, options).stored_bytes, learnt.stored_bytes);
    const Tensor y = store->Get(1, 0, 4, NewTensor(x.shape()));
    EXPECT_EQ(testing::ContractViolation(scaled.raw(), y.raw(), DType::F32, y.shape(), coding), "");
  }
}

TEST_F(ActivationStoreTest, DoesNotReferToTheTensorAfterPut) {
  const auto store = NewStore();
  const Tensor x = Maps({8, 14, 14, 16});
  Tensor copy = NewTensor(x.shape());
  std::memcpy(copy.raw(), x.raw(), x.bytes());
  store->Put(1, copy, {"fast", Masked(0.1f)});
  std::memset(copy.raw(), 0xff, copy.bytes());
  const Tensor y = store->Get(1, 0, 8, NewTensor(x.shape()));
  EXPECT_EQ(testing::ContractViolation(x.raw(), y.raw(), DType::F32, x.shape(), Masked(0.1f)), "");
}

TEST_F(ActivationStoreTest, CountsWhatItHolds) {
  auto store = NewStore();
  const Tensor x = Maps({16, 28, 28, 32});
  for (int id = 0; id < 30; ++id) store->Put(id, x, {"fast", Masked(0.02f)});
  EXPECT_GT(Saved(), 0);
  EXPECT_GE(Held(), store->stored_bytes() * 0.99);
  EXPECT_LE(Held(), store->stored_bytes() * 1.05);
  for (int id = 29; id >= 0; --id) store->Release(id);
  EXPECT_EQ(store->stored_bytes(), 0);
  store.reset();
  EXPECT_EQ(Saved(), 0);
}

TEST_F(ActivationStoreTest, DoesNotGrowOverManyIterations) {
  SetThreads(1);
  const auto store = NewStore();
  Rng rng(1, RngStream::TEST);
  const Tensor x = Maps({64, 8, 8, 16});
  int64_t greatest = 0;
  for (int iteration = 0; iteration < 2000; ++iteration) {
    const int values = 3 + static_cast<int>(rng.Below(4));
    for (int id = 0; id < values; ++id) {
      const auto bound = static_cast<float>(0.01 + rng.Uniform());
      store->Put(id, x.Slice(0, 16 + static_cast<int64_t>(rng.Below(48))), {"fast", Masked(bound)});
    }
    greatest = std::max(greatest, store->stored_bytes());
    // Mostly in reverse order, some early.
    store->Release(1);
    for (int id = values - 1; id >= 0; --id) {
      if (id != 1) store->Release(id);
    }
  }
  SetThreads(0);
  EXPECT_LE(Held(), greatest * 1.05 + (512 << 10));
}

TEST_F(ActivationStoreTest, GivesSlabsBackAfterALargeIteration) {
  const auto store = NewStore();
  const Tensor x = Maps({64, 28, 28, 32});
  for (int id = 0; id < 8; ++id) store->Put(id, x, {"fast", Masked(0.001f)});
  const int64_t large = Held();
  for (int id = 7; id >= 0; --id) store->Release(id);
  for (int iteration = 0; iteration < 3; ++iteration) {
    store->Put(0, x, {"fast", Masked(1.0f)});
    store->Release(0);
  }
  EXPECT_LT(Held(), large / 4);
}

TEST_F(ActivationStoreTest, RefusesToPassItsLimit) {
  const int64_t limit = 700 << 10;
  const auto store = NewStore(limit);
  const Tensor x = Maps({32, 28, 28, 32});
  int id = 0;
  try {
    for (; id < 100; ++id) store->Put(id, x, {"fast", Masked(0.1f)});
    FAIL() << "no limit";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::MEMORY);
    EXPECT_EQ(error.place(), std::to_string(id));
    EXPECT_NE(error.message().find("limited to 700 KiB, holds "), std::string::npos)
        << error.message();
    EXPECT_NE(error.hint().find("spill: true"), std::string::npos) << error.hint();
  }
  EXPECT_GT(id, 0);
  EXPECT_LE(Held(), limit);
  // What was there before is intact, and what failed left nothing behind.
  const Tensor y = store->Get(id - 1, 0, 32, NewTensor(x.shape()));
  EXPECT_EQ(testing::ContractViolation(x.raw(), y.raw(), DType::F32, x.shape(), Masked(0.1f)), "");
  store->Release(id - 1);
  store->Put(id, x, {"fast", Masked(0.1f)});
}

TEST_F(ActivationStoreTest, StoresTheSameBytesOnAnyNumberOfThreads) {
  const Tensor x = Maps({16, 28, 28, 16});
  const auto put = [&](int threads) {
    SetThreads(threads);
    return NewStore()->Put(0, x, {"fast", Masked(0.1f)});
  };
  const StoredValue one = put(1), three = put(3);
  SetThreads(0);
  EXPECT_EQ(one.stored_bytes, three.stored_bytes);
  EXPECT_EQ(one.statistics.sum_of_squares, three.statistics.sum_of_squares);
}

TEST(Chunking, CoversEveryElementOnce) {
  for (const Shape& shape : {Shape{7, 5, 3, 2}, Shape{3, 100, 100, 8}, Shape{2, 1, 1, 50000}}) {
    const Chunking chunking(shape, DType::F32, 64 << 10);
    int64_t next = 0;
    for (int64_t i = 0; i < chunking.count(); ++i) {
      const Chunk chunk = chunking.At(i);
      EXPECT_EQ(chunk.offset, next);
      EXPECT_LE(chunk.shape.elements(), chunking.Largest().elements());
      next += chunk.shape.elements();
    }
    EXPECT_EQ(next, shape.elements());
  }
}

}  // namespace
}  // namespace encke
