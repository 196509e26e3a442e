#include "compression/cuda/encode_arenas.h"

#include <algorithm>

#include "engine/core/error.h"

namespace encke::cuda {
namespace {

constexpr size_t kMaxArenas = 64;
constexpr int64_t kLeastArena = 32 << 20;

}  // namespace

EncodeArenas::EncodeArenas(Allocator& allocator, ArenaPlace place, int64_t limit_bytes,
                           cudaStream_t stream)
    : allocator_(allocator),
      place_(place),
      limit_bytes_(limit_bytes),
      stream_(stream),
      counters_(allocator.Allocate(kMaxArenas * sizeof(uint64_t), MemoryCategory::SAVED)) {}

// The more there is already, the larger the next.
bool EncodeArenas::Add(uint64_t most) {
  const auto least = static_cast<int64_t>(most);
  int64_t bytes = std::max({least, kLeastArena, held_});
  if (limit_bytes_ > 0) bytes = std::min(bytes, limit_bytes_ - held_);
  if (bytes < least || arenas_.size() == kMaxArenas) return false;
  AddArena(bytes);
  return true;
}

void EncodeArenas::AddArena(int64_t bytes) {
  Arena arena = {nullptr, nullptr, bytes};
  if (place_ == ArenaPlace::DEVICE) {
    arena.on_device = allocator_.Allocate(bytes, MemoryCategory::UNUSED);
  } else {
    arena.on_host = std::make_shared<PinnedBytes>(bytes);
  }
  const int index = book_.AddArena(static_cast<uint64_t>(bytes));
  arenas_.push_back(std::move(arena));
  held_ += bytes;
  ENCKE_CODEC_CUDA(cudaMemsetAsync(CounterOf(index), 0, sizeof(uint64_t), stream_));
}

void EncodeArenas::Expect(int64_t bytes) {
  if (limit_bytes_ > 0) bytes = std::min(bytes, limit_bytes_);
  if (bytes > 0 && held_ < bytes) ReplaceBy(bytes);
}

void EncodeArenas::Merge() { ReplaceBy(static_cast<int64_t>(book_.TakePeak())); }

void EncodeArenas::ReplaceBy(int64_t bytes) {
  book_.RemoveArenas();
  arenas_.clear();
  held_ = 0;
  AddArena(bytes);
}

DeviceArena EncodeArenas::Open(int number, uint64_t most) {
  const int index = book_.Find(most);
  book_.Open(number, index, most);
  const Arena& arena = arenas_[index];
  auto* data =
      arena.on_device ? static_cast<uint8_t*>(arena.on_device->data()) : arena.on_host->data();
  return {data, CounterOf(index), static_cast<uint64_t>(arena.bytes)};
}

void EncodeArenas::Rewind(int arena, const uint64_t* to) {
  ENCKE_CODEC_CUDA(
      cudaMemcpyAsync(CounterOf(arena), to, sizeof(uint64_t), cudaMemcpyDeviceToDevice, stream_));
}

}  // namespace encke::cuda
