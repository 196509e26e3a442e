// Where each buffer lies in the arena, and what the peak will be.
#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include "engine/core/error.h"
#include "engine/graph/plan_internal.h"

namespace encke::internal {
namespace {

constexpr int64_t kAlignment = kWorkspaceAlignment;
constexpr double kQuiet = 0.3;  // of the peak

// Whether forward makes it and backward, or whoever looks at the results, reads it.
bool IsLeft(const Plan& plan, const PlannedBuffer& buffer) {
  return buffer.first < plan.backward_begin && plan.backward_begin <= buffer.last;
}

// By buffer: which others have to begin so far above its beginning, in place of behind its end.
using Gaps = std::vector<std::map<int, int64_t>>;

Gaps GapsOf(const std::vector<Trail>& trails, size_t buffers) {
  Gaps gaps(buffers);
  for (const Trail& trail : trails) {
    gaps[trail.below][trail.above] = RoundUp(trail.gap, kAlignment);
  }
  return gaps;
}

// Places buffers one after another, each at the lowest offset that those before leave free.
class Placement {
 public:
  Placement(const Gaps& gaps, Plan* plan) : gaps_(gaps), buffers_(&plan->buffers) {}

  void Place(int b) {
    PlannedBuffer& buffer = (*buffers_)[b];
    taken_.clear();  // offsets strictly inside are not free
    for (const Placed& there : placed_) {
      if (buffer.first > there.last || there.first > buffer.last) continue;
      taken_.emplace_back(there.offset - Distance(b, buffer.bytes, there.buffer),
                          there.offset + Distance(there.buffer, there.bytes, b));
    }
    std::sort(taken_.begin(), taken_.end());
    buffer.offset = 0;
    for (const auto& [begin, end] : taken_) {
      if (buffer.offset <= begin) break;
      buffer.offset = std::max(buffer.offset, end);
    }
    placed_.push_back({buffer.first, buffer.last, b, buffer.offset, buffer.bytes});
  }

 private:
  struct Placed {  // what is looked at of each buffer for each
    int first, last, buffer;
    int64_t offset, bytes;
  };

  // From the beginning of one buffer, of so many bytes, to that of another above it, at least.
  int64_t Distance(int below, int64_t bytes, int above) const {
    const auto gap = gaps_[below].find(above);
    return gap == gaps_[below].end() ? bytes : gap->second;
  }

  const Gaps& gaps_;
  std::vector<PlannedBuffer>* buffers_;
  std::vector<Placed> placed_;
  std::vector<std::pair<int64_t, int64_t>> taken_;
};

void Add(MemoryUse* use, MemoryCategory category, int64_t bytes) {
  use->bytes[static_cast<int>(category)] += bytes;
}

// What is held from the first step to the last.
MemoryUse Constant(const Graph& graph, const Plan& plan) {
  int64_t all = 0;
  for (const Parameter& parameter : graph.parameters) all += parameter.spec.shape.elements();
  const int64_t trained = graph.TrainedParameters();
  const int64_t float_bytes = SizeOf(DType::F32);
  MemoryUse use;
  Add(&use, MemoryCategory::PARAMETER, all * float_bytes);
  if (plan.options.training) {
    Add(&use, MemoryCategory::GRADIENT, trained * float_bytes);
    Add(&use, MemoryCategory::OPTIMIZER,
        static_cast<int64_t>(trained * float_bytes * plan.options.optimizer_copies));
    // Running statistics, in case the iteration fails.
    Add(&use, MemoryCategory::WORKSPACE, (all - trained) * float_bytes);
  }
  Add(&use, MemoryCategory::WORKSPACE, plan.pool_scratch_bytes + plan.probe_bytes);
  const int64_t label_bytes = SizeOf(DType::I32);
  Add(&use, MemoryCategory::DATA,
      plan.batch * (graph.values[0].shape.sample() + label_bytes) * plan.options.batches_held);
  return use;
}

// Sections in which each pooled value is stored, and given back.
struct PoolTimes {
  PoolTimes(const Plan& plan) : stored(plan.saved.size(), -1), released(plan.saved.size(), -1) {
    for (size_t section = 0; section < plan.sections.size(); ++section) {
      for (int s = plan.sections[section].first; s < plan.sections[section].end; ++s) {
        const PlanStep& step = plan.steps[s];
        if (step.kind == PlanStep::Kind::STORE) stored[step.saved] = static_cast<int>(section);
        if (Releases(step)) {
          released[step.saved] = static_cast<int>(section);
        }
      }
    }
  }
  std::vector<int> stored, released;
};

// Bytes of the compressed pool from step to step. Within a sliced section those of its fullest
// moment: the last slice where values are stored, the first where they are given back.
class PoolPrediction {
 public:
  explicit PoolPrediction(const Plan& plan) : plan_(plan), times_(plan) {}

  void Begin(int section) {
    bytes_ = 0;
    samples_ = plan_.sections[section].samples;
    for (size_t s = 0; s < plan_.saved.size(); ++s) {
      if (!IsPooled(plan_.saved[s])) continue;
      const int stored = times_.stored[s], released = times_.released[s];
      if (stored < section && section <= released) bytes_ += plan_.saved[s].predicted_bytes;
      if (stored == section && section < released) {
        bytes_ += plan_.saved[s].predicted_bytes - OfSlice(static_cast<int>(s));
      }
    }
  }

  // Before and after a step is run.
  void Enter(const PlanStep& step) {
    if (step.kind == PlanStep::Kind::STORE) bytes_ += OfSlice(step.saved);
  }
  void Leave(const PlanStep& step) {
    if (Releases(step)) bytes_ -= OfSlice(step.saved);
  }
  int64_t bytes() const { return bytes_; }

 private:
  int64_t OfSlice(int s) const {
    if (!IsPooled(plan_.saved[s])) return 0;
    return plan_.saved[s].predicted_bytes * samples_ / plan_.batch;
  }

  const Plan& plan_;
  const PoolTimes times_;
  int64_t bytes_ = 0, samples_ = 0;
};

std::string Describe(const Graph& graph, const Plan& plan, const PlanStep& step) {
  if (step.kind == PlanStep::Kind::DERIVE) return graph.values[step.value].name;
  if (step.node >= 0) {
    const bool backward = step.kind == PlanStep::Kind::BACKWARD ||
                          step.kind == PlanStep::Kind::GATHER_BACKWARD ||
                          step.kind == PlanStep::Kind::FINISH_BACKWARD ||
                          step.kind == PlanStep::Kind::BACKWARD_PARAMETERS;
    const char* direction = backward ? "backward of " : "forward of ";
    return direction + graph.nodes[step.node].name;
  }
  if (step.kind == PlanStep::Kind::PACK || step.kind == PlanStep::Kind::UNPACK) {
    const char* action = step.kind == PlanStep::Kind::PACK ? "packing " : "unpacking ";
    return StrCat(action, "the index of ", graph.nodes[plan.states[step.saved].node].name);
  }
  return step.value >= 0 ? graph.values[step.value].name : "";
}

int64_t ArenaBytes(const Plan& plan) {
  int64_t bytes = 0;
  for (const PlannedBuffer& buffer : plan.buffers) {
    bytes = std::max(bytes, buffer.offset + buffer.bytes);
  }
  return bytes;
}

void PlaceInOrder(const std::vector<int>& order, const Gaps& gaps, Plan* plan) {
  Placement placement(gaps, plan);
  for (int b : order) placement.Place(b);
  plan->arena_bytes = ArenaBytes(*plan);
}

// Bytes alive at the step of a buffer's life when the fewest are.
std::vector<int64_t> LeastAliveBeside(const Plan& plan) {
  const std::vector<int64_t> alive = BytesAlive(plan);
  std::vector<int64_t> least;
  for (const PlannedBuffer& buffer : plan.buffers) {
    least.push_back(
        *std::min_element(alive.begin() + buffer.first, alive.begin() + buffer.last + 1));
  }
  return least;
}

// The same order, but with buffers that may share memory, one behind the other, right after each
// other.
std::vector<int> Chained(const std::vector<int>& order, const std::vector<Trail>& trails) {
  std::map<int, std::vector<int>> partners;
  for (const Trail& trail : trails) {
    partners[trail.read].push_back(trail.written);
    partners[trail.written].push_back(trail.read);
  }
  std::vector<bool> taken(order.size(), false);
  std::vector<int> chained;
  for (int first : order) {
    std::vector<int> next = {first};
    while (!next.empty()) {
      const int b = next.back();
      next.pop_back();
      if (taken[b]) continue;
      taken[b] = true;
      chained.push_back(b);
      next.insert(next.end(), partners[b].begin(), partners[b].end());
    }
  }
  return chained;
}

// In which to place buffers. Where the pool shares the arena, what forward leaves to backward comes
// first, at the bottom, so that the upper end is free for the pool; and of that more is free at the
// right time when what lives in quiet times lies below what lives at the peak only. No order is
// best for all networks.
std::vector<std::vector<int>> Orders(const Plan& plan, bool shares) {
  std::vector<int> order(plan.buffers.size());
  std::iota(order.begin(), order.end(), 0);
  const auto bytes = [&](int b) { return plan.buffers[b].bytes; };
  const auto area = [&](int b) {
    return plan.buffers[b].bytes * (plan.buffers[b].last - plan.buffers[b].first + 1);
  };
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return bytes(a) > bytes(b); });
  if (!shares) return {order};
  const auto rest = std::stable_partition(order.begin(), order.end(),
                                          [&](int b) { return IsLeft(plan, plan.buffers[b]); });
  std::stable_sort(order.begin(), rest,
                   [&](int a, int b) { return plan.buffers[a].first < plan.buffers[b].first; });
  std::vector<std::vector<int>> orders = {order};
  const auto add = [&](const auto& before) {
    std::stable_sort(rest, order.end(), before);
    orders.push_back(order);
  };
  const std::vector<int64_t> least = LeastAliveBeside(plan);
  const int64_t most = least.empty() ? 0 : *std::max_element(least.begin(), least.end());
  const auto quiet = [&](int b) { return least[b] < kQuiet * static_cast<double>(most); };
  add([&](int a, int b) { return quiet(a) > quiet(b); });  // each by size
  add([&](int a, int b) { return area(a) > area(b); });
  add([&](int a, int b) { return quiet(a) > quiet(b); });  // each by area
  add([&](int a, int b) { return least[a] < least[b]; });
  return orders;
}

}  // namespace

std::vector<int64_t> BytesAlive(const Plan& plan) {
  std::vector<int64_t> alive(plan.steps.size(), 0);
  for (const PlannedBuffer& buffer : plan.buffers) {
    for (int s = buffer.first; s <= buffer.last; ++s) {
      alive[s] += buffer.bytes - (s <= buffer.shared_until ? buffer.shared_bytes : 0);
    }
  }
  return alive;
}

void PlaceBuffers(Plan* plan, bool shares) {
  for (PlannedBuffer& buffer : plan->buffers) {
    buffer.bytes = RoundUp(buffer.bytes, kAlignment);
  }
  const std::vector<Trail> trails = FindTrails(*plan);
  const Gaps gaps = GapsOf(trails, plan->buffers.size());
  std::vector<std::vector<int>> orders = Orders(*plan, shares);
  for (size_t i = 0, count = orders.size(); i < count && !trails.empty(); ++i) {
    orders.push_back(Chained(orders[i], trails));
  }
  const auto spares_time = [&](int b) { return plan->buffers[b].spares_time; };
  for (size_t i = 0, count = orders.size(); i < count; ++i) {
    std::vector<int> order = orders[i];
    if (std::none_of(order.begin(), order.end(), spares_time)) break;
    std::stable_partition(order.begin(), order.end(), [&](int b) { return !spares_time(b); });
    orders.push_back(std::move(order));
  }
  std::vector<PlannedBuffer> best;
  int64_t least = 0;
  for (const std::vector<int>& order : orders) {
    PlaceInOrder(order, gaps, plan);
    if (shares) ShareArena(plan);
    const int64_t held = plan->arena_bytes + BytesInMemory(plan->options, PredictSlabs(*plan));
    if (!best.empty() && held >= least) continue;
    best = plan->buffers;
    least = held;
  }
  plan->buffers = best;
  plan->arena_bytes = ArenaBytes(*plan);
  BookTrails(trails, plan);
  if (shares) ShareArena(plan);
}

void PredictPeak(const Graph& graph, Plan* plan) {
  const size_t steps = plan->steps.size();
  plan->peak = {};
  plan->predicted_in_use.clear();
  std::vector<MemoryUse> born(steps + 1), dead(steps + 1);
  for (const PlannedBuffer& buffer : plan->buffers) {
    Add(&born[buffer.first], buffer.category, buffer.bytes - buffer.shared_bytes);
    if (buffer.shared_bytes > 0) {
      Add(&born[buffer.shared_until + 1], buffer.category, buffer.shared_bytes);
    }
    Add(&dead[buffer.last + 1], buffer.category, buffer.bytes);
  }
  const MemoryUse constant = Constant(graph, *plan);
  MemoryUse use = constant;
  PoolPrediction pool(*plan);
  for (size_t section = 0; section < plan->sections.size(); ++section) {
    pool.Begin(static_cast<int>(section));
    for (int s = plan->sections[section].first; s < plan->sections[section].end; ++s) {
      for (int c = 0; c < kMemoryCategories; ++c)
        use.bytes[c] += born[s].bytes[c] - dead[s].bytes[c];
      pool.Enter(plan->steps[s]);
      MemoryUse now = use;
      Add(&now, MemoryCategory::SAVED, BytesInMemory(plan->options, pool.bytes()));
      plan->predicted_in_use.push_back(now.in_use());
      if (now.in_use() > plan->peak.use.in_use()) {
        plan->peak = {now, s, Describe(graph, *plan, plan->steps[s])};
      }
      pool.Leave(plan->steps[s]);
    }
  }
  plan->pool_bytes = BytesInMemory(plan->options, PredictSlabs(*plan));
  const int64_t held = constant.in_use() + plan->arena_bytes + plan->pool_bytes;
  Add(&plan->peak.use, MemoryCategory::UNUSED, held - plan->peak.use.in_use());
}

}  // namespace encke::internal
