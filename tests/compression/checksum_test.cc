// The optional checksum at the end of a chunk: whatever happens to the bytes is noticed.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

#include "compression/activation_store.h"
#include "compression/stream.h"
#include "engine/core/error.h"
#include "gtest/gtest.h"
#include "tests/compression/codec_testing.h"

namespace encke {
namespace {

using testing::Decode;
using testing::Encode;
using testing::Encoded;

CodecOptions WithChecksum(float bound) {
  CodecOptions options = testing::Uniform(bound, /*mask=*/true);
  options.checksum = true;
  return options;
}

class Checksum : public ::testing::TestWithParam<std::string> {
 protected:
  void ExpectNoticed(const std::vector<uint8_t>& stream, const ValueCoding& coding,
                     const std::string& what) {
    try {
      Decode(*codec_, stream, DType::F32, shape_, coding);
      ADD_FAILURE() << what << " went unnoticed";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::CORRUPTION);
    }
  }

  const Codec* codec_ = FindCodec(GetParam());
  const Shape shape_{2, 3, 9, 20};
  const std::vector<float> data_ = testing::ReluMaps(shape_, 1);
  const Encoded sealed_ = Encode(*codec_, data_.data(), DType::F32, shape_, WithChecksum(0.1f));
};

TEST_P(Checksum, ChangesNothingButTheLength) {
  const Encoded plain =
      Encode(*codec_, data_.data(), DType::F32, shape_, testing::Uniform(0.1f, true));
  EXPECT_EQ(sealed_.stream.size(), plain.stream.size() + kChecksumBytes);
  EXPECT_EQ(Decode(*codec_, sealed_.stream, DType::F32, shape_, *sealed_.coding),
            Decode(*codec_, plain.stream, DType::F32, shape_, *plain.coding));
}

TEST_P(Checksum, NoticesEveryFlippedBit) {
  for (size_t bit = 0; bit < sealed_.stream.size() * 8; ++bit) {
    std::vector<uint8_t> flipped = sealed_.stream;
    flipped[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    ExpectNoticed(flipped, *sealed_.coding, StrCat("bit ", bit));
  }
}

TEST_P(Checksum, NoticesEveryTruncation) {
  for (size_t n = 0; n < sealed_.stream.size(); ++n) {
    const std::vector<uint8_t> cut(sealed_.stream.begin(), sealed_.stream.begin() + n);
    ExpectNoticed(cut, *sealed_.coding, StrCat("a cut at ", n));
  }
}

TEST_P(Checksum, IsDemandedWhereItWasAskedForAndOnlyThere) {
  const Encoded plain =
      Encode(*codec_, data_.data(), DType::F32, shape_, testing::Uniform(0.1f, true));
  ExpectNoticed(plain.stream, *sealed_.coding, "a missing checksum");
  ExpectNoticed(sealed_.stream, *plain.coding, "an unexpected checksum");
}

INSTANTIATE_TEST_SUITE_P(AllCodecs, Checksum, ::testing::ValuesIn(CodecNames()),
                         [](const auto& param_info) { return param_info.param; });

// Memory whose blocks a test can reach.
class ReachableAllocator : public Allocator {
 public:
  Device device() const override { return Device(); }
  // Flips one bit of every byte that a buffer of the pool holds.
  void Damage() {
    for (const auto& [data, bytes] : blocks_) {
      for (int64_t i = 0; i < bytes; ++i) data[i] ^= 4;
    }
  }

 protected:
  void* DoAllocate(int64_t bytes) override {
    auto* data = static_cast<uint8_t*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64));
    std::memset(data, 0, bytes);
    blocks_.emplace_back(data, bytes);
    return data;
  }
  void DoFree(void* data, int64_t) override {
    blocks_.erase(std::find_if(blocks_.begin(), blocks_.end(),
                               [&](const auto& block) { return block.first == data; }));
    std::free(data);
  }

 private:
  std::vector<std::pair<uint8_t*, int64_t>> blocks_;
};

TEST(ChecksumInThePool, NamesTheChunk) {
  const auto tensors = NewCpuAllocator();
  const Shape shape{1, 8, 8, 16};
  const std::vector<float> data = testing::ReluMaps(shape, 1);
  const Tensor x = Tensor::Empty(*tensors, shape, DType::F32, MemoryCategory::TRANSIENT);
  std::memcpy(x.raw(), data.data(), x.bytes());
  ReachableAllocator allocator;
  const auto store = NewCompressedStore(allocator, StoreOptions());
  store->Put(5, x, {"fast", WithChecksum(0.1f)});
  store->Get(5, 0, 1, x);
  allocator.Damage();
  try {
    store->Get(5, 0, 1, x);
    ADD_FAILURE() << "went unnoticed";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::CORRUPTION);
    EXPECT_EQ(error.place(), "chunk 0 of 1 of value 5");
  }
}

}  // namespace
}  // namespace encke
