// What kernels and host know of a stored chunk, and the memory that chunks are stored in.
#pragma once

#include "compression/cuda/portable.h"

namespace encke::cuda {

constexpr uint64_t kChunkAlignment = 16;

ENCKE_INLINE uint64_t AlignChunk(uint64_t bytes) {
  return (bytes + kChunkAlignment - 1) / kChunkAlignment * kChunkAlignment;
}

// Where a chunk's stream lies in its arena (DeviceArena::At). `size` 0: it was not stored, since
// the arena was full.
struct StoredChunk {
  uint64_t offset;
  uint32_t size;  // bytes
  uint32_t unused;
};

// Sums over one chunk's elements, as in compression/codec.h's EncodeStatistics.
struct ChunkStatistics {
  uint32_t nonzero;
  uint32_t escapes;
  double squares;
};

// Memory filled from one end by all warps: a chunk takes what it needs by adding to `used`.
struct DeviceArena {
  uint8_t* data;  // that end, 16-byte aligned
  uint64_t* used;
  uint64_t capacity;
  bool down = false;  // it is the upper end

  // What was taken of `offset` bytes from the end on.
  ENCKE_INLINE_MEMBER uint8_t* At(uint64_t offset, uint64_t bytes) const {
    return down ? data - offset - AlignChunk(bytes) : data + offset;
  }

  // Where `bytes` more go, or null when they do not fit; `used` then says how much would have.
  template <typename Warp>
  ENCKE_WARP_CODE uint8_t* Take(Warp& warp, uint32_t bytes, StoredChunk* chunk) const {
    const uint64_t offset = warp.FetchAdd(used, AlignChunk(bytes));
    const bool fits = offset + AlignChunk(bytes) <= capacity;
    *chunk = {fits ? offset : 0, fits ? bytes : 0, 0};
    return fits ? At(offset, bytes) : nullptr;
  }
};

// A stream of bytes written in words; only bytes [begin, end) are touched.
struct ByteSink {
  uint32_t* words;
  uint32_t begin;
  uint32_t end;

  ENCKE_INLINE_MEMBER void StoreWord(uint32_t index, uint32_t word) const {
    const uint32_t first = 4 * index;
    if (first >= begin && first + 4 <= end) {
      words[index] = word;
      return;
    }
    auto* bytes = reinterpret_cast<uint8_t*>(words);
    for (uint32_t i = first; i < first + 4; ++i) {
      if (i >= begin && i < end) bytes[i] = static_cast<uint8_t>(word >> 8 * (i - first));
    }
  }
};

// The first byte of a stream (compression/stream.h).
constexpr uint32_t kHeadBytes = 1;
enum class HeadByte : uint8_t { COPY = 0x10, FAST = 0x11, DENSE = 0x12 };

}  // namespace encke::cuda
