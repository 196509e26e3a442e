// Space for compressed chunks, in slabs from an allocator.
//
// Saved values are released roughly in the reverse order of their making, so a slab is filled like
// a stack: a piece is placed on top; when the topmost pieces are freed, the top sinks; a piece
// freed below the top waits for those above it. New pieces go to the lowest slab with room, so that
// what an iteration does not need gathers in the last slabs, which are given back. Before any slab
// comes memory that somebody lends for a while (lent_space.h).
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "compression/chunk_space.h"
#include "compression/lent_space.h"
#include "engine/core/memory.h"

namespace encke {

class SlabPool : public ChunkSpace {
 public:
  // Pieces are charged as SAVED, the rest of their slabs as UNUSED. `limit` in bytes is the most
  // that slabs may hold together, 0 = no limit.
  SlabPool(Allocator& allocator, int64_t limit) : allocator_(allocator), limit_(limit) {}

  // From now on pieces may lie in `space`, which stays charged as its owner charged it: UNUSED,
  // but for the pieces. nullptr: no more. REQUIRES: no piece is there.
  void Borrow(std::shared_ptr<Buffer> space);

  std::optional<Piece> Store(const uint8_t* data, int64_t size) override;
  // The same; in borrowed space where it has room above `floor` (in bytes, of its beginning).
  std::optional<Piece> Store(const uint8_t* data, int64_t size, int64_t floor);
  // Never copies.
  const uint8_t* Read(const Piece& piece, uint8_t* scratch) const override;
  void Free(const Piece& piece) override;
  // Of slabs.
  int64_t held_bytes() const override;

 private:
  struct Extent {
    int64_t begin;
    bool live;
  };
  struct Slab {
    std::shared_ptr<Buffer> buffer;
    std::vector<Extent> extents;  // in order; the last one ends at `top`
    int64_t top = 0;
    int idle = 0;  // how often in a row the pool emptied without this slab having been used
    bool used = false;
  };

  // REQUIRES, of all below: mutex_ held.
  std::optional<Piece> Place(int64_t size, int64_t floor);
  std::optional<Piece> PlaceInSlab(int64_t size);
  std::optional<size_t> AddSlab(int64_t least);  // its index
  void FreeInSlab(const Piece& piece);
  void Empty();  // no piece is left: gives back what was not used lately
  bool Fits(const Slab& slab, int64_t size) const;

  Allocator& allocator_;
  const int64_t limit_;
  mutable std::mutex mutex_;
  LentSpace lent_;
  std::vector<Slab> slabs_;  // a slab that was given back stays as an empty entry
  size_t first_open_ = 0;    // slabs below are full
  int64_t live_ = 0;         // pieces
  int64_t held_ = 0;         // bytes of all slabs
};

}  // namespace encke
