// Cuts the work of an iteration into sections, and finds out what lives across their borders.
#include <algorithm>

#include "engine/core/error.h"
#include "engine/graph/plan_internal.h"

namespace encke::internal {
namespace {

using Kind = PlanStep::Kind;

constexpr int64_t kOtherSize = 4;  // times more samples: reading weights less often pays

bool Finishes(Kind kind) { return kind == Kind::FINISH_FORWARD || kind == Kind::FINISH_BACKWARD; }

bool IsBackward(Kind kind) {
  return kind == Kind::BACKWARD || kind == Kind::GATHER_BACKWARD || kind == Kind::FINISH_BACKWARD;
}

}  // namespace

std::vector<bool> NeedsGradient(const Graph& graph) {
  std::vector<bool> needs(graph.values.size(), false);
  for (const Node& node : graph.nodes) {
    bool gradient = !node.parameters.empty();
    for (int value : node.inputs) gradient = gradient || needs[CanonicalValue(graph, value)];
    for (int value : node.outputs) needs[value] = gradient;
  }
  return needs;
}

bool HasCheapGradient(const Graph& graph, int value) {
  const std::vector<int>& consumers = graph.values[value].consumers;
  if (consumers.size() != 1) return false;
  const Node& reader = graph.nodes[consumers[0]];
  const Layer& layer = *reader.layer;
  return reader.inputs.size() == 1 && !layer.IsView() && !layer.IsLoss() && layer.Macs() == 0;
}

bool TellsFromInput(const Graph& graph, const SavedValue& saved, const SavedNeed& need) {
  const int producer = graph.values[saved.value].producer;
  return producer >= 0 && graph.nodes[producer].layer->CheapToRebuild() &&
         saved.keep == Keep::REBUILD && need.of == SavedNeed::Of::OUTPUT &&
         need.form == SavedNeed::Form::MASK;
}

std::vector<int> SavedReadBy(const Graph& graph, const Plan& plan, int n, bool again) {
  const Node& node = graph.nodes[n];
  std::vector<int> read;
  for (const SavedNeed& need : node.layer->SavedNeeds()) {
    if (again && need.rule == BoundRule::WEIGHT_GRADIENT) continue;
    const bool input = need.of == SavedNeed::Of::INPUT;
    const int edge = input ? node.inputs[need.index] : node.outputs[need.index];
    const int value = CanonicalValue(graph, edge);
    for (size_t s = 0; s < plan.saved.size(); ++s) {
      const int index = static_cast<int>(s);
      if (plan.saved[s].value != value || TellsFromInput(graph, plan.saved[s], need)) continue;
      if (std::find(read.begin(), read.end(), index) == read.end()) read.push_back(index);
    }
  }
  return read;
}

Schedule::Schedule(const Graph& graph, const Plan& plan)
    : graph_(graph),
      plan_(plan),
      needs_gradient_(NeedsGradient(graph)),
      of_value_(graph.values.size()),
      of_states_(graph.nodes.size()),
      whole_value_(graph.values.size(), false),
      whole_gradient_(graph.values.size(), false) {
  ListActions();
  CutSections();
  FindUses();
  const bool sliced = std::any_of(sections_.begin(), sections_.end(), [&](const Section& section) {
    return section.samples < plan.batch;
  });
  if (!plan.options.training || !plan.options.compress || !sliced) return;
  RematerializeValues();
  if (plan.options.rematerialize > 0) RematerializeGradients();
  FindUses();  // anew: what is made again need not be whole, what it is made from must be
  DeferParameters();
}

void Schedule::ListActions() {
  const int nodes = static_cast<int>(graph_.nodes.size());
  const bool training = plan_.options.training;
  const auto add = [&](int n, Kind gather, Kind finish, Kind act) {
    const bool gathers = graph_.nodes[n].layer->Gathers() && training;
    if (gathers) actions_.push_back({gather, n, 0});
    if (gathers) actions_.push_back({finish, n, 0});
    actions_.push_back({act, n, 0});
  };
  for (int n = 0; n < nodes; ++n) {
    if (graph_.nodes[n].layer->IsView()) continue;
    add(n, Kind::GATHER_FORWARD, Kind::FINISH_FORWARD, Kind::FORWARD);
  }
  PutOffForward();
  for (int n = nodes - 1; training && n >= 0; --n) {
    const Node& node = graph_.nodes[n];
    if (node.layer->IsView() || !needs_gradient_[node.outputs[0]]) continue;
    add(n, Kind::GATHER_BACKWARD, Kind::FINISH_BACKWARD, Kind::BACKWARD);
  }
  PutOffBackward();
}

// Bytes of the tensors of one sample that an action works on.
int64_t Schedule::WorkingBytes(const Action& action) const {
  const Node& node = graph_.nodes[action.node];
  int64_t elements = 0;
  for (const auto* list : {&node.inputs, &node.outputs}) {
    for (int value : *list) elements += graph_.values[value].shape.sample();
  }
  const int64_t bytes = elements * SizeOf(plan_.options.compute);
  return IsBackward(action.kind) ? 2 * bytes : bytes;  // values and gradients
}

// Slices of equal size, as far as possible.
int64_t Schedule::SamplesFor(int64_t working_bytes) const {
  const int64_t batch = plan_.batch;
  if (plan_.options.slice_bytes == 0) return batch;
  const int64_t fit = plan_.options.slice_bytes / std::max<int64_t>(working_bytes, 1);
  const int64_t samples = std::clamp(fit, std::min(plan_.options.least_slice, batch), batch);
  const int64_t slices = (batch + samples - 1) / samples;
  return (batch + slices - 1) / slices;
}

// A new section begins where a node must have seen all slices, and where slices of another size are
// worth a tensor of the whole batch; sections that take the batch as a whole anyway need no border
// between them. Where no node gathers, the network stays one section, so that a slice goes through
// all of it, and back, and nothing is saved of the others.
void Schedule::CutSections() {
  const bool gathers = std::any_of(actions_.begin(), actions_.end(),
                                   [](const Action& action) { return Finishes(action.kind); });
  const std::vector<int> cuts = gathers ? CutValues(graph_) : std::vector<int>();
  for (size_t begin = 0; begin < actions_.size();) {
    size_t end = begin;
    int64_t samples = plan_.batch;
    do {
      samples = std::min(samples, SamplesFor(WorkingBytes(actions_[end])));
      ++end;
    } while (end < actions_.size() && !BeginsSection(end) && !CutsBefore(end, samples, cuts));
    const bool whole = samples == plan_.batch;
    if (sections_.empty() || !whole || sections_.back().samples != plan_.batch) {
      sections_.push_back({samples, sections_.size() % 2 == 1});
    }
    for (size_t a = begin; a < end; ++a) {
      actions_[a].section = static_cast<int>(sections_.size()) - 1;
    }
    begin = end;
  }
}

// Whether action `a` is the first that needs all slices of what came before.
bool Schedule::BeginsSection(size_t a) const {
  return Finishes(actions_[a].kind) && !Finishes(actions_[a - 1].kind);
}

// Whether a border comes before action `a`, and the actions up to the next one take slices of
// another size than `samples`.
bool Schedule::CutsBefore(size_t a, int64_t samples, const std::vector<int>& cuts) const {
  if (!IsBorder(a, cuts)) return false;
  int64_t next = plan_.batch;
  size_t i = a;
  do {
    next = std::min(next, SamplesFor(WorkingBytes(actions_[i])));
    ++i;
  } while (i < actions_.size() && !BeginsSection(i) && !IsBorder(i, cuts));
  return next >= kOtherSize * samples || kOtherSize * next <= samples;
}

// Whether one value of `cuts`, or its gradient, is all that passes from the actions before `a` to
// those from it on, and takes little for the whole batch.
bool Schedule::IsBorder(size_t a, const std::vector<int>& cuts) const {
  const Action& before = actions_[a - 1];
  const bool backward = IsBackward(before.kind);
  if (backward != IsBackward(actions_[a].kind) || before.node == actions_[a].node) return false;
  const int value = graph_.nodes[backward ? actions_[a].node : before.node].outputs[0];
  const int64_t bytes =
      plan_.batch * graph_.values[value].shape.sample() * SizeOf(plan_.options.compute);
  return bytes <= plan_.options.slice_bytes && std::binary_search(cuts.begin(), cuts.end(), value);
}

size_t Schedule::Find(Kind kind, int node) const {
  const auto found = std::find_if(actions_.begin(), actions_.end(), [&](const Action& action) {
    return action.kind == kind && action.node == node;
  });
  return found - actions_.begin();
}

// Notes that the section brings `value` back, maybe by making it again from others: those that stay
// as they are it reads.
void Schedule::UseKept(int value, int section, std::set<int>* seen) {
  if (!seen->insert(value).second) return;
  const auto saved = std::find_if(plan_.saved.begin(), plan_.saved.end(),
                                  [&](const SavedValue& other) { return other.value == value; });
  const Keep keep = saved == plan_.saved.end() ? Keep::REBUILD : saved->keep;
  const int producer = graph_.values[value].producer;
  if (keep == Keep::RAW) {
    of_value_[value].insert(section);
  } else if (keep == Keep::DERIVE) {
    const BlockEnd& end = plan_.block_ends[saved->block_end];
    for (int source : {end.sum, end.shortcut}) UseKept(source, section, seen);
  } else if ((keep == Keep::REBUILD || keep == Keep::MASK) && producer >= 0) {
    for (int edge : graph_.nodes[producer].inputs) {
      UseKept(CanonicalValue(graph_, edge), section, seen);
    }
  }
}

void Schedule::FindUses() {
  of_value_.assign(graph_.values.size(), {});
  of_states_.assign(graph_.nodes.size(), {});
  std::vector<std::set<int>> of_gradient(graph_.values.size());
  for (const Action& action : actions_) {
    if (Finishes(action.kind) || action.kind == Kind::INPUT) continue;
    const Node& node = graph_.nodes[action.node];
    of_states_[action.node].insert(action.section);
    if (!IsBackward(action.kind)) {
      for (int value : node.inputs) of_value_[CanonicalValue(graph_, value)].insert(action.section);
      if (action.kind == Kind::GATHER_FORWARD) continue;
      for (int value : node.outputs) of_value_[value].insert(action.section);
      continue;
    }
    std::set<int> seen;
    for (int s : SavedReadBy(graph_, plan_, action)) {
      if (plan_.saved[s].keep == Keep::MASK) continue;
      UseKept(plan_.saved[s].value, action.section, &seen);
    }
    for (int value : node.outputs) of_gradient[value].insert(action.section);
    if (action.kind != Kind::BACKWARD) continue;
    for (int value : node.inputs) of_gradient[CanonicalValue(graph_, value)].insert(action.section);
  }
  for (size_t v = 0; v < graph_.values.size(); ++v) {
    const int value = static_cast<int>(v);
    whole_value_[v] = of_value_[v].size() > 1 && !MadeAgain(value);
    whole_gradient_[v] = of_gradient[v].size() > 1 && !GradientMadeAgain(value);
  }
  // Read after the last step.
  whole_value_[CanonicalValue(graph_, graph_.logits)] = true;
  for (int value : graph_.nodes.back().outputs) whole_value_[value] = true;
  // A gradient that is handed on as it is must suit its next owner, too.
  for (const Node& node : graph_.nodes) {
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (node.layer->Flow(static_cast<int>(i)) != GradientFlow::IDENTITY) continue;
      if (whole_gradient_[CanonicalValue(graph_, node.inputs[i])])
        whole_gradient_[node.outputs[0]] = true;
    }
  }
}

}  // namespace encke::internal
