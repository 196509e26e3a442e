// Which weight gradients' noise is measured, how much of each at a time, and in which turn.
#include <algorithm>

#include "engine/graph/noise_patterns.h"
#include "engine/graph/plan_internal.h"

namespace encke::internal {
namespace {

// Of a copy and of a gradient, where a channel fits, and of a turn, where its largest probe does.
// Smaller than they could be: the memory is held all the time.
constexpr int64_t kCopyBytes = int64_t{1} << 19;
constexpr int64_t kGradientBytes = int64_t{1} << 18;
constexpr int64_t kTurnBytes = int64_t{3} << 19;
constexpr int64_t kShare = 8;  // of the channels at most one in so many

int64_t Aligned(int64_t bytes) { return (bytes + 63) / 64 * 64; }

// As many channels of each group as these admit, and at least one.
PlannedProbe ProbeOf(const Graph& graph, const Plan& plan, int saved, int n) {
  const Shape x = ProbedInput(graph, n);
  const Shape& w = graph.parameters[graph.nodes[n].parameters[0]].spec.shape;
  PlannedProbe probe;
  probe.node = n;
  probe.saved = saved;
  probe.group_channels = w.c;
  const int64_t copy = x.n * x.h * x.w * (x.c / w.c) * SizeOf(plan.options.compute);
  const int64_t gradient = w.n * w.h * w.w * SizeOf(DType::F32);
  const int64_t fitting = std::min(kCopyBytes / copy, kGradientBytes / gradient);
  probe.channels = std::max<int64_t>(1, std::min(fitting, w.c / kShare));
  probe.copy_bytes = Aligned(probe.channels * copy);
  probe.gradient_bytes = Aligned(probe.channels * gradient);
  probe.pattern_bytes = Aligned(gradient);
  return probe;
}

int64_t BytesOf(const PlannedProbe& probe) {
  return probe.copy_bytes + 2 * probe.gradient_bytes + kPatterns * probe.pattern_bytes +
         Aligned(kRepeatedBytes);
}

// Probes share a turn as long as they take no more than twice what the largest takes, and than
// kTurnBytes.
void TakeTurns(Plan* plan) {
  int64_t largest = 0, used = 0;
  for (const PlannedProbe& probe : plan->probes) largest = std::max(largest, BytesOf(probe));
  const int64_t budget = std::max(largest, std::min(2 * largest, kTurnBytes));
  for (PlannedProbe& probe : plan->probes) {
    if (plan->probe_turns == 0 || used + BytesOf(probe) > budget) {
      ++plan->probe_turns;
      used = 0;
    }
    probe.turn = plan->probe_turns - 1;
    probe.offset = used;
    probe.gradient_offset = used + probe.copy_bytes;
    probe.pattern_offset = probe.gradient_offset + 2 * probe.gradient_bytes;
    probe.repeated_offset = probe.pattern_offset + kPatterns * probe.pattern_bytes;
    used += BytesOf(probe);
    plan->probe_bytes = std::max(plan->probe_bytes, used);
  }
}

}  // namespace

Shape ProbedInput(const Graph& graph, int node) {
  const Shape& x = graph.values[graph.nodes[node].inputs[0]].shape;
  const Shape& w = graph.parameters[graph.nodes[node].parameters[0]].spec.shape;
  return w.c == x.sample() ? Shape{x.n, 1, 1, x.sample()} : x;
}

void ChooseProbes(const Graph& graph, Plan* plan) {
  if (!plan->options.compress || !plan->options.probe) return;
  for (size_t s = 0; s < plan->saved.size(); ++s) {
    const SavedValue& saved = plan->saved[s];
    if (!saved.lossy() || saved.exact) continue;
    for (int node : saved.gradient_consumers) {
      plan->probes.push_back(ProbeOf(graph, *plan, static_cast<int>(s), node));
    }
  }
  TakeTurns(plan);
}

}  // namespace encke::internal
