// The arena's upper end as room for the pool: transient tensors take most when the largest layers
// are at work, at the beginning of forward and the end of backward, the pool in between.
#include <algorithm>
#include <set>

#include "engine/graph/plan_internal.h"

namespace encke::internal {
namespace {

// By step: up to where the arena is occupied while the step's section runs for all its slices.
std::vector<int64_t> OccupiedUpTo(const Plan& plan) {
  std::vector<int64_t> heights(plan.steps.size(), 0);
  for (const PlannedBuffer& buffer : plan.buffers) {
    for (int s = buffer.first; s <= buffer.last; ++s) {
      heights[s] = std::max(heights[s], buffer.offset + buffer.bytes);
    }
  }
  for (const PlanSection& section : plan.sections) {
    if (section.samples == plan.batch) continue;
    const auto begin = heights.begin() + section.first, end = heights.begin() + section.end;
    if (begin != end) std::fill(begin, end, *std::max_element(begin, end));
  }
  return heights;
}

// Of a value that is stored and given back in one section, slice by slice, a slice.
std::vector<int64_t> BytesAtATime(const Plan& plan) {
  std::vector<int64_t> bytes(plan.saved.size(), 0);
  for (const PlanSection& section : plan.sections) {
    std::set<int> stored;
    for (int s = section.first; s < section.end; ++s) {
      const PlanStep& step = plan.steps[s];
      if (step.kind == PlanStep::Kind::STORE) {
        bytes[step.saved] = plan.saved[step.saved].predicted_bytes;
        stored.insert(step.saved);
      }
      const bool release = Releases(step);
      if (!release || stored.count(step.saved) == 0) continue;
      bytes[step.saved] = bytes[step.saved] * section.samples / plan.batch;
    }
  }
  return bytes;
}

}  // namespace

bool IsPooled(const SavedValue& saved) { return saved.encoded() && saved.tier == Tier::MEMORY; }

void ShareArena(Plan* plan) {
  const std::vector<int64_t> heights = OccupiedUpTo(*plan);
  std::vector<int> stored(plan->saved.size(), -1);
  for (int s = 0; s < static_cast<int>(plan->steps.size()); ++s) {
    const PlanStep& step = plan->steps[s];
    if (step.kind == PlanStep::Kind::STORE) stored[step.saved] = s;
    if (!Releases(step)) continue;
    SavedValue& saved = plan->saved[step.saved];
    if (!IsPooled(saved)) continue;
    saved.floor = *std::max_element(heights.begin() + stored[step.saved], heights.begin() + s + 1);
  }
}

namespace {

// How much of a value may lie in the `free` bytes of the arena above its floor. A pool that needs
// room to encode puts values, slice by slice, there or elsewhere; others, chunk by chunk.
int64_t InArena(const SavedValue& saved, int64_t bytes, int64_t free) {
  if (saved.room_bytes > 0) return free >= bytes + saved.room_bytes ? bytes : 0;
  return std::clamp<int64_t>(free, 0, bytes);
}

}  // namespace

int64_t PredictSlabs(const Plan& plan) {
  const std::vector<int64_t> bytes = BytesAtATime(plan);
  std::vector<int64_t> lent(plan.saved.size(), 0);  // bytes of each value that lie in the arena
  int64_t in_arena = 0, in_slabs = 0, peak = 0;
  for (const PlanStep& step : plan.steps) {
    const bool store = step.kind == PlanStep::Kind::STORE;
    const bool release = Releases(step);
    if (!(store || release) || !IsPooled(plan.saved[step.saved])) continue;
    const SavedValue& saved = plan.saved[step.saved];
    int64_t& here = lent[step.saved];
    if (store && saved.floor >= 0) {
      const int64_t free = plan.arena_bytes - saved.floor - in_arena;
      here = InArena(saved, bytes[step.saved], free);
    }
    in_arena += store ? here : -here;
    in_slabs += (store ? 1 : -1) * (bytes[step.saved] - here);
    const bool needs_room = store && here < bytes[step.saved];
    peak = std::max(peak, in_slabs + (needs_room ? saved.room_bytes : 0));
  }
  return peak;
}

}  // namespace encke::internal
