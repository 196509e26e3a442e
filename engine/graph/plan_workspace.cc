// The scratch memory of library calls: buffers of the arena. The layers that ask for most of it,
// late in a network, have small tensors, so that each step has its own, alive only then.
#include <algorithm>
#include <map>
#include <optional>
#include <tuple>

#include "engine/graph/plan_internal.h"

namespace encke::internal {
namespace {

using Kind = PlanStep::Kind;

// What the step runs of its node's layer, if either.
std::optional<Pass> PassOf(Kind kind) {
  if (kind == Kind::FORWARD || kind == Kind::REBUILD) return Pass::FORWARD;
  if (kind == Kind::BACKWARD || kind == Kind::BACKWARD_PARAMETERS) return Pass::BACKWARD;
  return std::nullopt;
}

// By step, the most that its calls take, of whole slices and of the rest of the batch. Leaves the
// graph's shapes at the plan's batch.
std::vector<int64_t> ScratchBytes(Graph* graph, Backend* backend, const Plan& plan) {
  using Call = std::tuple<int64_t, int, Pass>;  // samples, node
  std::map<Call, std::vector<int>> steps;
  for (const PlanSection& section : plan.sections) {
    for (int s = section.first; s < section.end; ++s) {
      const PlanStep& step = plan.steps[s];
      const std::optional<Pass> pass = PassOf(step.kind);
      if (step.node < 0 || !pass) continue;
      const int64_t samples = TakesWholeBatch(step) ? plan.batch : section.samples;
      for (int64_t some : {samples, plan.batch % samples}) {
        if (some > 0) steps[{some, step.node, *pass}].push_back(s);
      }
    }
  }
  std::vector<int64_t> bytes(plan.steps.size(), 0);
  int64_t inferred = plan.batch;
  for (const auto& [call, running] : steps) {
    const auto& [samples, node, pass] = call;
    if (samples != inferred) graph->InferShapes(samples);
    inferred = samples;
    const Layer& layer = *graph->nodes[node].layer;
    const int64_t asked = layer.WorkspaceBytes(*backend, plan.options.compute, pass);
    for (int s : running) bytes[s] = std::max(bytes[s], asked);
  }
  if (inferred != plan.batch) graph->InferShapes(plan.batch);
  return bytes;
}

int AddBuffer(int64_t bytes, int first, int last, const std::string& what, Plan* plan) {
  PlannedBuffer buffer;
  buffer.bytes = bytes;
  buffer.first = first;
  buffer.last = last;
  buffer.category = MemoryCategory::WORKSPACE;
  buffer.what = what;
  plan->buffers.push_back(buffer);
  return static_cast<int>(plan->buffers.size()) - 1;
}

}  // namespace

void PlanWorkspaces(Graph* graph, Backend* backend, Plan* plan) {
  const std::vector<int64_t> bytes = ScratchBytes(graph, backend, *plan);
  const int64_t most = bytes.empty() ? 0 : *std::max_element(bytes.begin(), bytes.end());
  const int end = static_cast<int>(bytes.size());
  // Where the pool works aside, a call whose scratch lay where a value has just been stored would
  // wait until that is encoded.
  const int shared =
      plan->prefetch && most > 0 ? AddBuffer(most, 0, end - 1, "workspace", plan) : -1;
  for (int s = 0; s < end; ++s) {
    PlanStep& step = plan->steps[s];
    if (bytes[s] == 0) continue;
    const std::string what = graph->nodes[step.node].name + ".workspace";
    step.workspace = shared >= 0 ? shared : AddBuffer(bytes[s], s, s, what, plan);
  }
}

}  // namespace encke::internal
