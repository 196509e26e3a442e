// Which values backward reads and how each is kept: declarations of the layers, united per value.
#include <map>
#include <utility>

#include "engine/core/packed_samples.h"
#include "engine/graph/plan_internal.h"

namespace encke::internal {
namespace {

constexpr double kNormRatio = 7.5;  // of batch norm inputs at a quarter of their standard deviation

struct Need {
  SavedValue saved;
  bool value_form = false;
};

void Unite(const Graph& graph, int node_index, const SavedNeed& need, std::map<int, Need>* needs) {
  const Node& node = graph.nodes[node_index];
  const int edge =
      need.of == SavedNeed::Of::INPUT ? node.inputs[need.index] : node.outputs[need.index];
  const int value = CanonicalValue(graph, edge);
  Need& united = (*needs)[value];
  united.saved.value = value;
  if (need.form == SavedNeed::Form::MASK) {
    united.saved.mask = true;
    return;
  }
  united.value_form = true;
  switch (need.rule) {
    case BoundRule::EXACT:
      united.saved.exact = true;
      break;
    case BoundRule::WEIGHT_GRADIENT:
      united.saved.gradient_consumers.push_back(node_index);
      break;
    case BoundRule::CHANNEL_STD:
      united.saved.norm_consumer = node_index;
      break;
    case BoundRule::VALUE_RMS:
      united.saved.rms = true;
      break;
  }
}

Keep ChooseKeep(const Need& need, const PlanOptions& options) {
  if (!options.eliminates()) return Keep::RAW;
  if (need.saved.value == 0) return Keep::IMAGE;
  if (!need.value_form) return Keep::MASK;
  return options.compress ? Keep::CODEC : Keep::RAW;
}

int64_t PredictBytes(const SavedValue& saved, const Shape& shape, double ratio) {
  switch (saved.keep) {
    case Keep::RAW:
      return saved.raw_bytes;
    case Keep::CODEC:
      if (saved.exact) return saved.raw_bytes;
      return static_cast<int64_t>(saved.raw_bytes /
                                  (saved.norm_consumer >= 0 ? kNormRatio : ratio));
    case Keep::MASK:
      return shape.n * PackedSampleBytes(shape, 1);
    case Keep::IMAGE:  // the batch is there anyway, as DATA
    case Keep::REBUILD:
      return 0;
  }
  return 0;
}

void ChooseStates(const Graph& graph, Plan* plan) {
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    const std::vector<StateSpec> specs = graph.nodes[n].layer->States();
    for (size_t i = 0; i < specs.size(); ++i) {
      if (specs[i].scratch) continue;
      SavedState state;
      state.node = static_cast<int>(n);
      state.index = static_cast<int>(i);
      state.bits = plan->options.eliminates() ? specs[i].bits : 0;
      state.raw_bytes = specs[i].shape.elements() * SizeOf(specs[i].dtype);
      const Shape& shape = specs[i].shape;
      state.predicted_bytes =
          state.bits > 0 ? shape.n * PackedSampleBytes(shape, state.bits) : state.raw_bytes;
      plan->states.push_back(state);
    }
  }
}

bool OnlyReader(const Graph& graph, int value, int reader) {
  const std::vector<int>& consumers = graph.values[value].consumers;
  return consumers.size() == 1 && consumers[0] == reader && value != graph.logits;
}

// Puts max pools before the ReLUs that they alone read; whether there was one.
bool SwapPoolsWithRelus(Graph* graph) {
  bool swapped = false;
  for (size_t n = 0; n < graph->nodes.size(); ++n) {
    Node& pool = graph->nodes[n];
    if (pool.layer->type() != "max_pool") continue;
    const int between = pool.inputs[0];
    const int producer = graph->values[between].producer;
    if (producer < 0 || !OnlyReader(*graph, between, static_cast<int>(n))) continue;
    Node& relu = graph->nodes[producer];
    if (relu.layer->type() != "relu") continue;
    std::swap(relu.layer, pool.layer);
    std::swap(relu.name, pool.name);
    std::swap(relu.place, pool.place);
    std::swap(graph->values[relu.outputs[0]].name, graph->values[pool.outputs[0]].name);
    swapped = true;
  }
  return swapped;
}

}  // namespace

void RewriteGraph(Graph* graph) {
  while (SwapPoolsWithRelus(graph)) {
  }
}

int CanonicalValue(const Graph& graph, int value) {
  while (graph.values[value].producer >= 0) {
    const Node& producer = graph.nodes[graph.values[value].producer];
    if (!producer.layer->IsView()) break;
    value = producer.inputs[0];
  }
  return value;
}

void ChooseSaved(const Graph& graph, Plan* plan) {
  std::map<int, Need> needs;
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    for (const SavedNeed& need : graph.nodes[n].layer->SavedNeeds()) {
      Unite(graph, static_cast<int>(n), need, &needs);
    }
  }
  for (auto& [value, need] : needs) {
    const Shape& shape = graph.values[value].shape;
    SavedValue saved = need.saved;
    saved.keep = ChooseKeep(need, plan->options);
    saved.raw_bytes = shape.elements() * SizeOf(plan->options.compute);
    saved.predicted_bytes = PredictBytes(saved, shape, plan->options.assumed_ratio);
    plan->saved.push_back(std::move(saved));
  }
  ChooseStates(graph, plan);
}

}  // namespace encke::internal
