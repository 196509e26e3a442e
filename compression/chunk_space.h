// A place for encoded chunks: slabs of memory (slab_pool.h) or a file (offload_file.h).
#pragma once

#include <cstdint>
#include <optional>

namespace encke {

class ChunkSpace {
 public:
  // Where a chunk lies; what the fields mean is for its space to know.
  struct Piece {
    uint64_t place = 0;
    uint32_t size = 0;  // 0: no piece
    uint32_t slab = 0;
    uint32_t index = 0;
  };

  virtual ~ChunkSpace() = default;

  // Keeps a copy of `size` > 0 bytes; nothing where that would pass the limit the space was given.
  // Thread-safe. Error(MEMORY) when the machine has no more room.
  virtual std::optional<Piece> Store(const uint8_t* data, int64_t size) = 0;
  // The bytes of a piece, where they lie or copied to `scratch`, which has room for them. Valid
  // until the piece is freed or `scratch` reused. Thread-safe. REQUIRES: a piece of this space.
  virtual const uint8_t* Read(const Piece& piece, uint8_t* scratch) const = 0;
  // Thread-safe. REQUIRES: a piece of this space, not freed before.
  virtual void Free(const Piece& piece) = 0;
  // What the space takes, free parts included.
  virtual int64_t held_bytes() const = 0;
};

}  // namespace encke
