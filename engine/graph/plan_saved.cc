// Which values backward reads and how each is kept: declarations of the layers, united per value.
#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "compression/codec.h"
#include "engine/core/packed_samples.h"
#include "engine/graph/plan_internal.h"

namespace encke::internal {
namespace {

// Stored bytes of an element of each kind, relative to those of a ReLU's output (measured:
// doc/results/codec.md).
constexpr double kNormWeight = 1.65;
constexpr double kSidesWeight = 1.8;

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

// Chooses keep, codec and tier.
void ChooseKeep(const PlanOptions& options, bool value_form, SavedValue* saved) {
  const SavedPolicy& policy = options.policies[static_cast<int>(KindOf(*saved))];
  if (options.eliminates() && saved->value == 0) {
    saved->keep = Keep::IMAGE;
  } else if (options.eliminates() && !value_form) {
    saved->keep = Keep::MASK;
  } else if (!options.compress || policy.tier == Tier::IN_PLACE) {
    saved->keep = Keep::RAW;
    saved->tier = Tier::IN_PLACE;
  } else {
    saved->keep = Keep::CODEC;
    saved->codec = saved->exact ? CodecForExact(policy.codec) : policy.codec;
    ENCKE_CHECK(!policy.adaptive || policy.codec == "dense", policy.codec);
    // What a file holds is not in the way of anybody.
    saved->adaptive = policy.adaptive && !saved->exact && policy.tier == Tier::MEMORY;
    saved->tier = policy.tier;
  }
}

bool Estimated(const SavedValue& saved) {
  return saved.lossy() && !saved.exact && saved.codec != "raw";
}

double WeightOf(const SavedValue& saved) {
  if (saved.keep == Keep::REBUILD || saved.keep == Keep::DERIVE) return 0;
  if (saved.sides) return kSidesWeight;
  return saved.norm_consumer < 0 ? 1 : kNormWeight;
}

int64_t PredictExactBytes(const SavedValue& saved, const Shape& shape) {
  switch (saved.keep) {
    case Keep::RAW:
    case Keep::CODEC:
      return saved.raw_bytes;
    case Keep::MASK:
      return shape.n * PackedSampleBytes(shape, 1);
    case Keep::IMAGE:  // the batch is there anyway, as DATA
    case Keep::REBUILD:
    case Keep::DERIVE:
      return 0;
  }
  return 0;
}

// Lossy values together take what the assumed ratio says.
void PredictBytes(const Graph& graph, Plan* plan) {
  const double floats = SizeOf(DType::F32) / static_cast<double>(SizeOf(plan->options.compute));
  double raw = 0, weighted = 0;
  for (const SavedValue& saved : plan->saved) {
    if (!Estimated(saved)) continue;
    raw += static_cast<double>(saved.raw_bytes);
    weighted += static_cast<double>(saved.raw_bytes) * WeightOf(saved);
  }
  for (SavedValue& saved : plan->saved) {
    const double share =
        static_cast<double>(saved.raw_bytes) * WeightOf(saved) / std::max(weighted, 1.0);
    saved.predicted_bytes =
        Estimated(saved) ? static_cast<int64_t>(share * raw * floats / plan->options.assumed_ratio)
                         : PredictExactBytes(saved, graph.values[saved.value].shape);
  }
}

// Which values can be made again from others that are kept, and what that asks of those.
class RebuildChoice {
 public:
  RebuildChoice(const Graph& graph, std::map<int, Need>* needs) : graph_(graph), needs_(needs) {}

  void Choose() {
    for (const Node& node : graph_.nodes) {
      if (!node.layer->CheapToRebuild() || !Rebuildable(node.outputs[0])) continue;
      if (node.layer->Gathers()) KeepSides(node);
      const auto found = needs_->find(node.outputs[0]);
      if (found == needs_->end()) continue;
      if (!found->second.value_form) {  // the node's own mask, which its input tells
        needs_->erase(found);
        continue;
      }
      found->second.saved.keep = Keep::REBUILD;
      Serve(node.outputs[0], node.outputs[0]);
    }
  }

 private:
  bool Kept(int value) const {
    const auto found = needs_->find(value);
    return found != needs_->end() && found->second.saved.keep == Keep::CODEC &&
           Bounded(found->second.saved);
  }

  static bool Bounded(const SavedValue& saved) {
    return saved.lossy() && FindCodec(saved.codec)->bounded();
  }

  // Raw, or by a codec without a bound: as was asked for, not to be made again.
  bool KeptOtherwise(int value) const {
    const auto found = needs_->find(value);
    return found != needs_->end() && found->second.value_form && !Bounded(found->second.saved);
  }

  bool Rebuildable(int value) const {
    const int producer = graph_.values[value].producer;
    if (producer < 0 || !graph_.nodes[producer].layer->CheapToRebuild()) return false;
    if (KeptOtherwise(value)) return false;
    for (int edge : graph_.nodes[producer].inputs) {
      const int input = CanonicalValue(graph_, edge);
      if (!Kept(input) && !Rebuildable(input)) return false;
    }
    return true;
  }

  void KeepSides(const Node& node) {
    needs_->at(CanonicalValue(graph_, node.inputs[0])).saved.sides = true;
  }

  // What `value` is made from must be as exact as the readers of `reader` ask.
  void Serve(int value, int reader) {
    for (int edge : graph_.nodes[graph_.values[value].producer].inputs) {
      const int input = CanonicalValue(graph_, edge);
      if (Kept(input)) {
        needs_->at(input).saved.serves.push_back(reader);
      } else {
        Serve(input, reader);
      }
    }
  }

  const Graph& graph_;
  std::map<int, Need>* needs_;
};

// Keeps one tensor in place of two at the ends of residual blocks, where all that it takes is kept
// with an error bound.
class DeriveChoice {
 public:
  DeriveChoice(const Graph& graph, const PlanOptions& options, std::map<int, Need>* needs)
      : graph_(graph), options_(options), needs_(needs) {}

  std::vector<BlockEnd> Choose() {
    const auto policy = [&](SavedKind kind) { return options_.policies[static_cast<int>(kind)]; };
    if (!(policy(SavedKind::RELU) == policy(SavedKind::NORM_INPUT))) return {};
    if (options_.compute != DType::F32) return {};  // whose rounding the quotient would magnify
    std::vector<BlockEnd> chosen;
    for (const BlockEnd& end : FindBlockEnds(graph_)) {
      if (!IsBoundedCodec(end.input) || !FeedsWeightsOnly(end.output)) continue;
      Need* source = SourceOf(end.shortcut);
      if (source == nullptr) continue;
      const int index = static_cast<int>(chosen.size());
      source->saved.shortcut_of.push_back(index);
      Apply(end, index);
      chosen.push_back(end);
    }
    return chosen;
  }

 private:
  Need* Find(int value) const {
    const auto found = needs_->find(value);
    return found == needs_->end() ? nullptr : &found->second;
  }

  bool IsBoundedCodec(int value) const {
    const Need* need = Find(value);
    return need != nullptr && need->value_form && need->saved.keep == Keep::CODEC &&
           !need->saved.exact && FindCodec(need->saved.codec)->bounded();
  }

  // Whether weight gradients alone say how exact the value must be.
  bool FeedsWeightsOnly(int value) const {
    if (!IsBoundedCodec(value)) return false;
    const SavedValue& saved = Find(value)->saved;
    return !saved.gradient_consumers.empty() && saved.norm_consumer < 0 && !saved.rms &&
           saved.serves.empty();
  }

  // What decides how exact a shortcut comes back: itself, or the input of the batch norm and ReLU,
  // or the sum of the block, from which it is made again.
  Need* SourceOf(int shortcut) const {
    if (FeedsWeightsOnly(shortcut)) return Find(shortcut);
    Need* need = Find(shortcut);
    const bool rebuilt = need != nullptr && need->saved.keep == Keep::REBUILD &&
                         !need->saved.exact && !need->saved.gradient_consumers.empty();
    if (!rebuilt) return nullptr;
    const int producer = graph_.values[shortcut].producer;
    if (graph_.nodes[producer].inputs.size() != 1) return nullptr;
    Need* source = Find(CanonicalValue(graph_, graph_.nodes[producer].inputs[0]));
    const bool known = source != nullptr && source->saved.keep == Keep::CODEC &&
                       (source->saved.norm_consumer == producer || source->saved.block_end >= 0);
    return known ? source : nullptr;
  }

  void Apply(const BlockEnd& end, int index) {
    SavedValue& input = needs_->at(end.input).saved;
    SavedValue& output = needs_->at(end.output).saved;
    input.keep = Keep::DERIVE;
    input.block_end = index;
    Need sum;
    sum.saved.value = end.sum;
    sum.saved.keep = Keep::CODEC;
    sum.saved.codec = output.codec;
    sum.saved.adaptive = output.adaptive;
    sum.saved.tier = output.tier;
    sum.saved.sides = true;
    sum.saved.serves = {end.output};
    sum.saved.block_end = index;
    sum.value_form = true;
    output.keep = Keep::REBUILD;
    needs_->emplace(end.sum, std::move(sum));
  }

  const Graph& graph_;
  const PlanOptions& options_;
  std::map<int, Need>* needs_;
};

// Keeps the inputs of about `segments` segments, exactly, and leaves the rest to be made again.
void KeepSegmentInputs(const Graph& graph, const PlanOptions& options, std::map<int, Need>* needs) {
  const std::vector<int> cuts = CutValues(graph);
  const size_t count = cuts.size(), segments = options.recompute_segments;
  std::set<int> kept;
  for (size_t i = 1; i < segments && count > 0; ++i) kept.insert(cuts[i * count / segments]);
  for (auto& [value, need] : *needs) {
    if (value == 0 || kept.count(value) > 0) continue;
    need.saved.keep = Keep::REBUILD;
    need.saved.exact = true;
  }
  for (int value : kept) {
    Need& need = (*needs)[value];
    need.saved.value = value;
    need.saved.exact = true;
    ChooseKeep(options, true, &need.saved);
  }
}

// A block's output, in whose place its sum is kept: one tensor for one.
bool IsReplaced(const std::vector<BlockEnd>& block_ends, int value) {
  return std::any_of(block_ends.begin(), block_ends.end(),
                     [&](const BlockEnd& end) { return end.output == value; });
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

bool OnlyReader(const Graph& graph, int value, int reader) {
  const std::vector<int>& consumers = graph.values[value].consumers;
  return consumers.size() == 1 && consumers[0] == reader && value != graph.logits;
}

int CanonicalValue(const Graph& graph, int value) {
  while (graph.values[value].producer >= 0) {
    const Node& producer = graph.nodes[graph.values[value].producer];
    if (!producer.layer->IsView()) break;
    value = producer.inputs[0];
  }
  return value;
}

std::vector<int> CutValues(const Graph& graph) {
  // The last node that reads each value, and how far values before a node reach.
  std::vector<int> last(graph.values.size(), -1);
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    for (int edge : graph.nodes[n].inputs) last[CanonicalValue(graph, edge)] = static_cast<int>(n);
  }
  std::vector<int> cuts;
  int reach = last[0];
  for (size_t n = 0; n + 1 < graph.nodes.size(); ++n) {
    const Node& node = graph.nodes[n];
    if (node.layer->IsView()) continue;
    if (reach <= static_cast<int>(n)) cuts.push_back(node.outputs[0]);
    for (int value : node.outputs) reach = std::max(reach, last[value]);
  }
  return cuts;
}

void ChooseSaved(const Graph& graph, Plan* plan) {
  std::map<int, Need> needs;
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    for (const SavedNeed& need : graph.nodes[n].layer->SavedNeeds()) {
      Unite(graph, static_cast<int>(n), need, &needs);
    }
  }
  for (auto& [value, need] : needs) ChooseKeep(plan->options, need.value_form, &need.saved);
  if (plan->options.compress && plan->options.recompute_segments > 0) {
    KeepSegmentInputs(graph, plan->options, &needs);
  } else if (plan->options.compress) {
    RebuildChoice(graph, &needs).Choose();
    if (plan->options.derive) {
      plan->block_ends = DeriveChoice(graph, plan->options, &needs).Choose();
    }
  }
  for (auto& [value, need] : needs) {
    const Shape& shape = graph.values[value].shape;
    SavedValue saved = need.saved;
    saved.raw_bytes = shape.elements() * SizeOf(plan->options.compute);
    if (IsReplaced(plan->block_ends, value)) saved.raw_bytes = 0;
    plan->saved.push_back(std::move(saved));
  }
  PredictBytes(graph, plan);
  ChooseStates(graph, plan);
}

}  // namespace encke::internal
