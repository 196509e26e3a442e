#include "compression/cuda/arena_book.h"

#include <algorithm>

#include "engine/core/error.h"

namespace encke::cuda {

int ArenaBook::AddArena(uint64_t capacity) {
  arenas_.push_back({capacity, {}});
  return arenas() - 1;
}

uint64_t ArenaBook::MostUsed(int arena) const {
  uint64_t used = 0;
  for (const Value& value : arenas_[arena].values) {
    used = value.settled ? value.end : used + value.most;
  }
  return used;
}

int ArenaBook::Find(uint64_t most, uint64_t floor) const {
  for (int i = 0; i < arenas(); ++i) {
    if (MostUsed(i) + most + floor <= arenas_[i].capacity) return i;
  }
  return -1;
}

void ArenaBook::Open(int id, int arena, uint64_t most) {
  ENCKE_CHECK(MostUsed(arena) + most <= arenas_[arena].capacity, "value ", id, ", arena ", arena);
  arenas_[arena].values.push_back({id, 0, most, false, true});
  ++open_;
  uint64_t used = 0;
  for (int i = 0; i < arenas(); ++i) used += MostUsed(i);
  peak_ = std::max(peak_, used);
}

ArenaBook::Value& ArenaBook::At(int id, Arena** arena) {
  for (Arena& candidate : arenas_) {
    for (Value& value : candidate.values) {
      if (value.id != id || !value.open) continue;
      *arena = &candidate;
      return value;
    }
  }
  ENCKE_CHECK(false, "value ", id, " is not open");
  __builtin_unreachable();
}

void ArenaBook::Settle(int id, uint64_t end) {
  Arena* arena;
  Value& value = At(id, &arena);
  value.end = end;
  value.settled = true;
}

std::optional<ArenaBook::Rewind> ArenaBook::Close(int id) {
  Arena* arena;
  At(id, &arena).open = false;
  --open_;
  std::optional<Rewind> rewind;
  std::vector<Value>& values = arena->values;
  while (!values.empty() && !values.back().open) {
    rewind = {static_cast<int>(arena - arenas_.data()), values.back().id};
    values.pop_back();
  }
  return rewind;
}

int ArenaBook::Oldest(int none) const {
  int oldest = none;
  for (const Arena& arena : arenas_) {
    for (const Value& value : arena.values) oldest = std::min(oldest, value.id);
  }
  return oldest;
}

uint64_t ArenaBook::TakePeak() {
  const uint64_t peak = peak_;
  peak_ = 0;
  return peak;
}

}  // namespace encke::cuda
