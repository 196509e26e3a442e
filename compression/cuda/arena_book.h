// The host's book of the arenas that values are encoded into, so that none can overflow.
//
// Kernels take space by adding to a counter on the device, and the host learns what they took only
// later. Until then a value counts with the most that it can take, which is a little more than its
// raw size; so what the book says is used is never less than what is. Values are put and closed
// like a stack, as forward and backward do it: what was put last comes free first, and a value
// closed below others waits for them.
//
// Plain C++, used by one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace encke::cuda {

class ArenaBook {
 public:
  // A new arena of `capacity` bytes; returns its index, 0 for the first.
  int AddArena(uint64_t capacity);
  // REQUIRES: empty().
  void RemoveArenas() { arenas_.clear(); }

  // The first arena where `most` more bytes fit for certain, and leave `floor` of its capacity; -1
  // when there is none.
  int Find(uint64_t most, uint64_t floor = 0) const;

  // Value `id` goes to `arena`. REQUIRES: Find said so; `id` was never open before.
  void Open(int id, int arena, uint64_t most);
  // The device has found that the open value ends at `end` bytes of its arena.
  void Settle(int id, uint64_t end);

  // The arena's counter goes back to where value `id` began.
  struct Rewind {
    int arena;
    int id;
  };
  // Value `id` is not needed any more. Says how far its arena's space came free, if at all.
  std::optional<Rewind> Close(int id);

  bool empty() const { return open_ == 0; }
  // The least id of those that are open or wait below others; `none` when there are none.
  int Oldest(int none) const;
  int arenas() const { return static_cast<int>(arenas_.size()); }
  // The most of the arena's bytes that may be used now.
  uint64_t MostUsed(int arena) const;
  // The highest that MostUsed of all arenas together has been since the last call.
  uint64_t TakePeak();

 private:
  struct Value {
    int id;
    uint64_t end;  // the most, until settled
    uint64_t most;
    bool settled;
    bool open;
  };
  struct Arena {
    uint64_t capacity;
    std::vector<Value> values;  // bottom first
  };

  Value& At(int id, Arena** arena);

  std::vector<Arena> arenas_;
  int open_ = 0;
  uint64_t peak_ = 0;
};

}  // namespace encke::cuda
