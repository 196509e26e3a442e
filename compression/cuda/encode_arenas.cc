#include "compression/cuda/encode_arenas.h"

#include <algorithm>

#include "engine/core/error.h"

namespace encke::cuda {
namespace {

constexpr size_t kMaxArenas = 64;
constexpr int64_t kLeastArena = 2 << 20;
constexpr int64_t kGrowthDivisor = 4;  // a quarter more at a time

}  // namespace

EncodeArenas::EncodeArenas(Allocator& allocator, ArenaPlace place, int64_t limit_bytes,
                           cudaStream_t stream)
    : allocator_(allocator),
      place_(place),
      limit_bytes_(limit_bytes),
      stream_(stream),
      counters_(allocator.Allocate(kMaxArenas * sizeof(uint64_t), MemoryCategory::SAVED)) {}

EncodeArenas::EncodeArenas(Allocator& allocator, std::shared_ptr<Buffer> space, cudaStream_t stream)
    : EncodeArenas(allocator, ArenaPlace::LENT, 0, stream) {
  const auto begin = reinterpret_cast<uintptr_t>(space->data());
  const auto end = (begin + space->bytes()) / kChunkAlignment * kChunkAlignment;
  Keep({std::move(space), nullptr, static_cast<int64_t>(end - begin)});
}

// The more there is already, the larger the next.
bool EncodeArenas::Add(uint64_t most) {
  const auto least = static_cast<int64_t>(most);
  int64_t bytes = std::max({least, kLeastArena, held_ / kGrowthDivisor});
  if (limit_bytes_ > 0) bytes = std::min(bytes, limit_bytes_ - held_);
  if (bytes < least || arenas_.size() == kMaxArenas || place_ == ArenaPlace::LENT) return false;
  AddArena(bytes);
  return true;
}

void EncodeArenas::AddArena(int64_t bytes) {
  if (place_ == ArenaPlace::DEVICE) {
    Keep({allocator_.Allocate(bytes, MemoryCategory::UNUSED), nullptr, bytes});
  } else {
    Keep({nullptr, std::make_shared<PinnedBytes>(bytes), bytes});
  }
}

void EncodeArenas::Keep(Arena arena) {
  const int index = book_.AddArena(static_cast<uint64_t>(arena.bytes));
  held_ += arena.bytes;
  arenas_.push_back(std::move(arena));
  ENCKE_CODEC_CUDA(cudaMemsetAsync(CounterOf(index), 0, sizeof(uint64_t), stream_));
}

void EncodeArenas::Expect(int64_t bytes) {
  expected_ = limit_bytes_ > 0 ? std::min(bytes, limit_bytes_) : bytes;
  if (expected_ > 0 && (held_ < expected_ || several())) Merge();
}

void EncodeArenas::Merge() {
  ReplaceBy(std::max(static_cast<int64_t>(book_.TakePeak()), expected_));
}

void EncodeArenas::ReplaceBy(int64_t bytes) {
  book_.RemoveArenas();
  arenas_.clear();
  held_ = 0;
  AddArena(bytes);
}

DeviceArena EncodeArenas::Open(int number, uint64_t most, uint64_t floor) {
  const int index = book_.Find(most, floor);
  book_.Open(number, index, most);
  const Arena& arena = arenas_[index];
  const bool down = place_ == ArenaPlace::LENT;
  return {arena.data() + (down ? arena.bytes : 0), CounterOf(index),
          static_cast<uint64_t>(arena.bytes) - floor, down};
}

void EncodeArenas::Rewind(int arena, const uint64_t* to) {
  ENCKE_CODEC_CUDA(
      cudaMemcpyAsync(CounterOf(arena), to, sizeof(uint64_t), cudaMemcpyDeviceToDevice, stream_));
}

}  // namespace encke::cuda
