// What the peak of a plan will be.
#include <algorithm>

#include "engine/core/error.h"
#include "engine/graph/plan_internal.h"

namespace encke::internal {
namespace {

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

}  // namespace

std::vector<int64_t> PooledBytes(const Plan& plan) {
  std::vector<int64_t> bytes;
  PoolPrediction pool(plan);
  for (size_t section = 0; section < plan.sections.size(); ++section) {
    pool.Begin(static_cast<int>(section));
    for (int s = plan.sections[section].first; s < plan.sections[section].end; ++s) {
      pool.Enter(plan.steps[s]);
      bytes.push_back(BytesInMemory(plan.options, pool.bytes()));
      pool.Leave(plan.steps[s]);
    }
  }
  return bytes;
}

void PredictPeak(const Graph& graph, Plan* plan) {
  const int steps = static_cast<int>(plan->steps.size());
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
  const std::vector<int64_t> pooled = PooledBytes(*plan);
  MemoryUse use = constant;
  for (int s = 0; s < steps; ++s) {
    for (int c = 0; c < kMemoryCategories; ++c) use.bytes[c] += born[s].bytes[c] - dead[s].bytes[c];
    MemoryUse now = use;
    Add(&now, MemoryCategory::SAVED, pooled[s]);
    plan->predicted_in_use.push_back(now.in_use());
    if (now.in_use() > plan->peak.use.in_use()) {
      plan->peak = {now, s, Describe(graph, *plan, plan->steps[s])};
    }
  }
  plan->pool_bytes = BytesInMemory(plan->options, PredictSlabs(*plan));
  const int64_t held = constant.in_use() + plan->arena_bytes + plan->pool_bytes;
  Add(&plan->peak.use, MemoryCategory::UNUSED, held - plan->peak.use.in_use());
}

int64_t HeldThroughout(const Graph& graph, const Plan& plan) {
  return Constant(graph, plan).in_use();
}

}  // namespace encke::internal
