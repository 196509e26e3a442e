// The scratch memory of library calls: a buffer of the arena for each step that makes some, alive
// only then. The layers that ask for most of it, late in a network, have small tensors.
#include <map>
#include <tuple>

#include "engine/graph/plan_internal.h"

namespace encke::internal {
namespace {

using Kind = PlanStep::Kind;

// Whether the step runs a layer's Forward or Backward, and which.
bool Runs(Kind kind, Pass* pass) {
  const bool backward = kind == Kind::BACKWARD || kind == Kind::BACKWARD_PARAMETERS;
  *pass = backward ? Pass::BACKWARD : Pass::FORWARD;
  return backward || kind == Kind::FORWARD || kind == Kind::REBUILD;
}

}  // namespace

void PlanWorkspaces(Graph* graph, Backend* backend, Plan* plan) {
  using Call = std::tuple<int64_t, int, Pass>;  // samples, node
  std::map<Call, std::vector<int>> steps;
  for (const PlanSection& section : plan->sections) {
    for (int s = section.first; s < section.end; ++s) {
      const PlanStep& step = plan->steps[s];
      Pass pass;
      if (step.node < 0 || !Runs(step.kind, &pass)) continue;
      const int64_t samples = TakesWholeBatch(step) ? plan->batch : section.samples;
      steps[{samples, step.node, pass}].push_back(s);
    }
  }
  int64_t inferred = plan->batch;
  for (const auto& [call, running] : steps) {
    const auto& [samples, node, pass] = call;
    if (samples != inferred) graph->InferShapes(samples);
    inferred = samples;
    const int64_t bytes =
        graph->nodes[node].layer->WorkspaceBytes(*backend, plan->options.compute, pass);
    if (bytes == 0) continue;
    for (int s : running) {
      PlannedBuffer buffer;
      buffer.bytes = bytes;
      buffer.first = buffer.last = s;
      buffer.category = MemoryCategory::WORKSPACE;
      buffer.what = graph->nodes[node].name + ".workspace";
      plan->steps[s].workspace = static_cast<int>(plan->buffers.size());
      plan->buffers.push_back(buffer);
    }
  }
  if (inferred != plan->batch) graph->InferShapes(plan->batch);
}

}  // namespace encke::internal
