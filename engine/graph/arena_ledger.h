// Books the arena's bytes in the memory ledger while a plan's program runs. Internal to
// engine/graph.
#pragma once

#include <vector>

#include "engine/core/memory.h"
#include "engine/graph/memory_trace.h"
#include "engine/graph/plan.h"

namespace encke {

// Moves each planned buffer from UNUSED to its category for the steps between its first and its
// last, which for one of the whole batch are those of the first and the last slice; bytes that
// belong to another buffer as well move once that one is through. Whatever is still booked at the
// end (or when an error ends the run) goes back. What is held at the beginning and at the end of
// each step is noted in `trace`, where there is one. All three must outlive it.
class ArenaLedger {
 public:
  ArenaLedger(const Plan* plan, MemoryLedger* ledger, MemoryTrace* trace = nullptr);
  ~ArenaLedger();
  ArenaLedger(const ArenaLedger&) = delete;
  ArenaLedger& operator=(const ArenaLedger&) = delete;

  void Begin(int step);
  void End(int step, bool last_slice);

 private:
  void Note(int step);
  void Book(int buffer, int64_t bytes);
  void Release(int buffer);

  const Plan* plan_;
  MemoryLedger* ledger_;
  MemoryTrace* trace_;
  std::vector<std::vector<int>> first_, last_, shared_until_;  // buffers by step
  std::vector<int64_t> booked_;                                // bytes, by buffer
};

}  // namespace encke
