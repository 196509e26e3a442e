#include "engine/graph/memory_trace.h"

namespace encke {

const char* NameOf(PlanStep::Kind kind) {
  switch (kind) {
    case PlanStep::Kind::INPUT:
      return "input";
    case PlanStep::Kind::FORWARD:
      return "forward";
    case PlanStep::Kind::GATHER_FORWARD:
      return "gather_forward";
    case PlanStep::Kind::FINISH_FORWARD:
      return "finish_forward";
    case PlanStep::Kind::STORE:
      return "store";
    case PlanStep::Kind::STORE_MASK:
      return "store_mask";
    case PlanStep::Kind::PACK:
      return "pack";
    case PlanStep::Kind::UNPACK:
      return "unpack";
    case PlanStep::Kind::PREFETCH:
      return "prefetch";
    case PlanStep::Kind::FETCH:
      return "fetch";
    case PlanStep::Kind::DERIVE:
      return "derive";
    case PlanStep::Kind::REBUILD:
      return "rebuild";
    case PlanStep::Kind::BACKWARD:
      return "backward";
    case PlanStep::Kind::GATHER_BACKWARD:
      return "gather_backward";
    case PlanStep::Kind::FINISH_BACKWARD:
      return "finish_backward";
    case PlanStep::Kind::BACKWARD_PARAMETERS:
      return "backward_parameters";
    case PlanStep::Kind::ADD_GRADIENTS:
      return "add_gradients";
  }
  return "?";
}

std::string SubjectOf(const Graph& graph, const Plan& plan, const PlanStep& step) {
  using Kind = PlanStep::Kind;
  if (step.node >= 0) return graph.nodes[step.node].name;
  const bool moves_state = step.kind == Kind::PACK || step.kind == Kind::UNPACK;
  if (moves_state) return graph.nodes[plan.states[step.saved].node].name;
  return step.value >= 0 ? graph.values[step.value].name : "";
}

void MemoryTrace::Start(int64_t iteration, size_t steps) {
  iteration_ = iteration;
  steps_.assign(steps, MemoryUse());
}

void MemoryTrace::Note(int step, const MemoryUse& use) {
  if (use.in_use() > steps_[step].in_use()) steps_[step] = use;
}

}  // namespace encke
