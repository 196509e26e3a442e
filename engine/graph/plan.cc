#include "engine/graph/plan.h"

#include <algorithm>

#include "engine/core/error.h"
#include "engine/graph/plan_internal.h"

namespace encke {
namespace {

int64_t Workspace(const Graph& graph, Backend& backend, const PlanOptions& options) {
  int64_t bytes = 0;
  for (const Node& node : graph.nodes) {
    bytes = std::max(bytes, node.layer->WorkspaceBytes(backend, options.compute, options.training));
  }
  return bytes;
}

}  // namespace

const char* NameOf(Keep keep) {
  switch (keep) {
    case Keep::RAW:
      return "raw";
    case Keep::CODEC:
      return "codec";
    case Keep::MASK:
      return "mask";
    case Keep::IMAGE:
      return "image";
  }
  return "?";
}

int64_t Plan::raw_saved_bytes() const {
  int64_t sum = 0;
  for (const SavedValue& value : saved) sum += value.raw_bytes;
  for (const SavedState& state : states) sum += state.raw_bytes;
  return sum;
}

int64_t Plan::predicted_saved_bytes() const {
  int64_t sum = 0;
  for (const SavedValue& value : saved) sum += value.predicted_bytes;
  for (const SavedState& state : states) sum += state.predicted_bytes;
  return sum;
}

Plan MakePlan(Graph& graph, Backend& backend, int64_t batch, const PlanOptions& options) {
  ENCKE_CHECK(batch > 0, batch);
  Plan plan;
  plan.batch = batch;
  plan.options = options;
  if (options.compress) internal::RewriteGraph(&graph);
  graph.InferShapes(batch);
  plan.workspace_bytes = Workspace(graph, backend, options);
  if (options.training) internal::ChooseSaved(graph, &plan);
  internal::WriteProgram(graph, &plan);
  internal::PlaceBuffers(&plan);
  internal::PredictPeak(graph, &plan);
  return plan;
}

int64_t LargestBatch(Graph& graph, Backend& backend, int64_t bytes, const PlanOptions& options) {
  const auto need = [&](int64_t batch) {
    return MakePlan(graph, backend, batch, options).peak.use.total();
  };
  if (need(1) > bytes) return 0;
  int64_t fits = 1, fails = 0;  // the need grows with the batch, almost linearly
  int64_t fits_need = need(1), guess = 2;
  constexpr int64_t kLargest = int64_t{1} << 20;
  while (fails == 0 || fails - fits > 1) {
    const int64_t guess_need = need(guess);
    if (guess_need > bytes) {
      fails = guess;
    } else {
      const int64_t slope = std::max<int64_t>((guess_need - fits_need) / (guess - fits), 1);
      fits = guess;
      fits_need = guess_need;
      if (fits >= kLargest) return kLargest;
      guess = fits + std::max<int64_t>((bytes - fits_need) / slope, 1);
    }
    const int64_t middle = fails > 0 ? (fits + fails) / 2 : guess;
    if (fails > 0 && (guess <= fits || guess >= fails)) guess = middle;
    guess = std::min(guess, kLargest);
    if (guess == fits) ++guess;
  }
  return fits;
}

}  // namespace encke
