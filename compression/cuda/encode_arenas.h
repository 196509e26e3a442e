// Memory that values are encoded into: arenas with their counters, and the host's book of them.
#pragma once

#include <memory>
#include <vector>

#include "compression/cuda/arena_book.h"
#include "compression/cuda/cuda_check.h"
#include "compression/cuda/stored_chunk.h"
#include "engine/core/memory.h"

namespace encke::cuda {

enum class ArenaPlace {
  DEVICE,  // charged to the allocator's ledger, as UNUSED
  LENT,    // somebody else's, who charged it likewise: one, filled from its upper end downwards
  HOST     // page-locked: the encoder writes through the bus. Not charged.
};

// For one stream of encoders, which the caller names.
class EncodeArenas {
 public:
  // `limit_bytes`: the most that arenas may hold, 0 = no limit.
  EncodeArenas(Allocator& allocator, ArenaPlace place, int64_t limit_bytes, cudaStream_t stream);

  // LENT: the space.
  EncodeArenas(Allocator& allocator, std::shared_ptr<Buffer> space, cudaStream_t stream);

  ArenaPlace place() const { return place_; }
  // Whether `most` more bytes fit for certain, the lowest `floor` of a lent space left free.
  bool Fits(uint64_t most, uint64_t floor = 0) const { return book_.Find(most, floor) >= 0; }
  // Adds an arena in which they do; false when the limit does not allow it. Error(MEMORY) when the
  // memory does not. Not LENT.
  bool Add(uint64_t most);
  // One arena of at least `bytes`, as far as the limit allows it, from now on. REQUIRES: as Merge.
  void Expect(int64_t bytes);
  // One arena in place of several, as large as the values since the last time needed together.
  // REQUIRES: empty(); the stream's work is done.
  void Merge();

  // Space for value `number`. REQUIRES: Fits(most, floor).
  DeviceArena Open(int number, uint64_t most, uint64_t floor = 0);
  // As ArenaBook's; after Close the stream moves the counter back to where `begins(number)` points
  // to, of the lowest value that came free.
  void Settle(int number, uint64_t end) { book_.Settle(number, end); }
  template <typename Begins>
  void Close(int number, const Begins& begins) {
    const std::optional<ArenaBook::Rewind> rewind = book_.Close(number);
    if (rewind) Rewind(rewind->arena, begins(rewind->id));
  }

  bool empty() const { return book_.empty(); }
  bool several() const { return arenas_.size() > 1; }
  int Oldest(int none) const { return book_.Oldest(none); }

 private:
  struct Arena {
    std::shared_ptr<Buffer> on_device;
    std::shared_ptr<PinnedBytes> on_host;
    int64_t bytes;

    uint8_t* data() const {
      return on_device ? static_cast<uint8_t*>(on_device->data()) : on_host->data();
    }
  };

  uint64_t* CounterOf(int arena) const { return static_cast<uint64_t*>(counters_->data()) + arena; }
  void Rewind(int arena, const uint64_t* to);
  void AddArena(int64_t bytes);
  void Keep(Arena arena);
  void ReplaceBy(int64_t bytes);

  Allocator& allocator_;
  const ArenaPlace place_;
  const int64_t limit_bytes_;
  const cudaStream_t stream_;
  ArenaBook book_;
  std::vector<Arena> arenas_;
  std::shared_ptr<Buffer> counters_;
  int64_t held_ = 0, expected_ = 0;
};

}  // namespace encke::cuda
