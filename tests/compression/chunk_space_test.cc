// Spaces for encoded chunks: they give back what they were given, and use freed room again.
#include "compression/chunk_space.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <cstring>
#include <filesystem>
#include <functional>

#include "compression/offload_file.h"
#include "compression/slab_pool.h"
#include "engine/core/error.h"
#include "engine/core/rng.h"

namespace encke {
namespace {

struct Kind {
  const char* name;
  std::function<std::unique_ptr<ChunkSpace>(Allocator&)> make;
  int64_t growth;  // bytes by which it grows at most, beyond what it needs
};

class ChunkSpaceTest : public ::testing::TestWithParam<Kind> {
 protected:
  ChunkSpace::Piece Store(const std::vector<uint8_t>& bytes) {
    return space_->Store(bytes.data(), static_cast<int64_t>(bytes.size())).value();
  }
  std::vector<uint8_t> Read(const ChunkSpace::Piece& piece) {
    std::vector<uint8_t> scratch(piece.size);
    const uint8_t* bytes = space_->Read(piece, scratch.data());
    return {bytes, bytes + piece.size};
  }

  std::unique_ptr<Allocator> allocator_ = NewCpuAllocator();
  std::unique_ptr<ChunkSpace> space_ = GetParam().make(*allocator_);
};

std::vector<uint8_t> Bytes(Rng* rng, int64_t size) {
  std::vector<uint8_t> bytes(size);
  for (uint8_t& b : bytes) b = static_cast<uint8_t>(rng->NextU32());
  return bytes;
}

// Against a plain container, in random order.
TEST_P(ChunkSpaceTest, GivesBackWhatItWasGiven) {
  Rng rng(1, RngStream::TEST);
  std::vector<std::pair<ChunkSpace::Piece, std::vector<uint8_t>>> model;
  for (int step = 0; step < 3000; ++step) {
    if (model.empty() || rng.Below(100) < 55) {
      const std::vector<uint8_t> bytes = Bytes(&rng, 1 + static_cast<int64_t>(rng.Below(5000)));
      model.emplace_back(Store(bytes), bytes);
    } else {
      const auto victim = model.begin() + static_cast<int64_t>(rng.Below(model.size()));
      ASSERT_EQ(Read(victim->first), victim->second) << step;
      space_->Free(victim->first);
      model.erase(victim);
    }
  }
  for (const auto& [piece, bytes] : model) EXPECT_EQ(Read(piece), bytes);
}

TEST_P(ChunkSpaceTest, DoesNotGrowOverTenThousandIterationsOfVaryingSizes) {
  Rng rng(2, RngStream::TEST);
  const std::vector<uint8_t> bytes = Bytes(&rng, 40000);
  int64_t greatest = 0;
  for (int iteration = 0; iteration < 10000; ++iteration) {
    std::vector<ChunkSpace::Piece> pieces;
    int64_t sum = 0;
    const int count = 4 + static_cast<int>(rng.Below(8));
    for (int i = 0; i < count; ++i) {
      const auto size = static_cast<int64_t>(1 + rng.Below(bytes.size()));
      pieces.push_back(space_->Store(bytes.data(), size).value());
      sum += size;
    }
    greatest = std::max(greatest, sum);
    // Mostly in reverse order, one early.
    const size_t early = rng.Below(pieces.size());
    space_->Free(pieces[early]);
    pieces.erase(pieces.begin() + static_cast<int64_t>(early));
    for (auto piece = pieces.rbegin(); piece != pieces.rend(); ++piece) space_->Free(*piece);
  }
  EXPECT_LE(space_->held_bytes(), greatest + GetParam().growth);
}

INSTANTIATE_TEST_SUITE_P(
    Spaces, ChunkSpaceTest,
    ::testing::Values(
        Kind{"Memory", [](Allocator& a) { return std::make_unique<SlabPool>(a, 0); }, 512 << 10},
        Kind{"File", [](Allocator&) { return std::make_unique<OffloadFile>(::testing::TempDir()); },
             16 << 20}),
    [](const auto& kind) { return kind.param.name; });

TEST(SlabPool, HoldsNoMoreThanItsLimit) {
  const auto allocator = NewCpuAllocator();
  SlabPool pool(*allocator, 100000);
  const std::vector<uint8_t> bytes(30000);
  std::vector<ChunkSpace::Piece> pieces;
  while (const auto piece = pool.Store(bytes.data(), 30000)) pieces.push_back(*piece);
  EXPECT_EQ(pieces.size(), 3u);
  EXPECT_LE(pool.held_bytes(), 100000);
  pool.Free(pieces.back());
  EXPECT_TRUE(pool.Store(bytes.data(), 30000).has_value());
}

TEST(SlabPool, BorrowsWhatLiesAboveTheFloor) {
  const auto allocator = NewCpuAllocator();
  const auto arena = allocator->Allocate(100000, MemoryCategory::UNUSED);
  auto* begin = static_cast<uint8_t*>(arena->data());
  SlabPool pool(*allocator, 0);
  pool.Borrow(arena);
  const std::vector<uint8_t> bytes(30000, 7);
  const auto lies_in_arena = [&](const ChunkSpace::Piece& piece, int64_t floor) {
    const uint8_t* data = pool.Read(piece, nullptr);
    return data >= begin + floor && data + piece.size <= begin + 100000;
  };
  const auto first = pool.Store(bytes.data(), 30000, 60000).value();
  EXPECT_TRUE(lies_in_arena(first, 60000));
  const auto beside = pool.Store(bytes.data(), 30000, 60000).value();  // only 10000 bytes are left
  EXPECT_FALSE(lies_in_arena(beside, 0));
  const auto second = pool.Store(bytes.data(), 30000, 20000).value();
  EXPECT_TRUE(lies_in_arena(second, 20000));
  const auto unwilling = pool.Store(bytes.data(), 10000).value();
  EXPECT_FALSE(lies_in_arena(unwilling, 0));
  EXPECT_EQ(allocator->ledger().Current().of(MemoryCategory::SAVED), 100000);
  std::memset(begin, 1, 20000);  // the owner's part, at its highest
  for (const auto& piece : {first, second}) {
    const uint8_t* data = pool.Read(piece, nullptr);
    EXPECT_EQ(std::vector<uint8_t>(data, data + piece.size), bytes);
  }
  pool.Free(first);  // below the second, whose place is used first again
  EXPECT_FALSE(lies_in_arena(pool.Store(bytes.data(), 30000, 20000).value(), 0));
  pool.Free(second);
  EXPECT_TRUE(lies_in_arena(pool.Store(bytes.data(), 30000, 70000).value(), 70000));
}

// The soft limit on file sizes, as `ulimit -f` sets it, while in scope. It makes what a full disk
// does: growing the file fails.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(int64_t bytes) : handler_(signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{static_cast<rlim_t>(bytes), before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  sighandler_t handler_;
};

TEST(OffloadFile, AFullDiskIsAnErrorThatNamesFolderBytesAndWayOut) {
  OffloadFile file(::testing::TempDir());
  const std::vector<uint8_t> bytes(100000, 7);
  const FileSizeLimit limit(300000);
  const ChunkSpace::Piece first = file.Store(bytes.data(), 100000).value();
  file.Store(bytes.data(), 100000);
  try {
    file.Store(bytes.data(), 100000);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::MEMORY);
    EXPECT_EQ(error.place(), ::testing::TempDir());
    EXPECT_NE(error.message().find("no room for "), std::string::npos) << error.message();
    EXPECT_NE(error.message().find(" KiB more "), std::string::npos) << error.message();
    EXPECT_NE(error.hint().find("offload_folder"), std::string::npos) << error.hint();
  }
  std::vector<uint8_t> scratch(100000);
  EXPECT_EQ(std::memcmp(file.Read(first, scratch.data()), bytes.data(), 100000), 0);
  file.Free(first);
  EXPECT_TRUE(file.Store(bytes.data(), 100000).has_value()) << "freed room is used again";
}

TEST(OffloadFile, LeavesNoNameInItsFolder) {
  const std::string folder = ::testing::TempDir() + "/nameless";
  std::filesystem::create_directory(folder);
  OffloadFile file(folder);
  const std::vector<uint8_t> bytes(1000);
  file.Store(bytes.data(), 1000);
  EXPECT_TRUE(std::filesystem::is_empty(folder));
}

TEST(OffloadFile, AMissingFolderIsAnErrorThatNamesIt) {
  try {
    OffloadFile file("/nowhere/at/all");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::DATA);
    EXPECT_EQ(error.place(), "/nowhere/at/all");
  }
}

}  // namespace
}  // namespace encke
