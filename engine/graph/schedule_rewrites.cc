// What the schedule does differently from what the graph says, so that less has to be held for the
// whole batch at a time. None of it changes a result.
//
// Words: a value *waits* when it is made in one section and read in a later one; it is then whole.
// *Rematerialized* it is made twice, slice by slice, by an action REBUILD in the section that reads
// it. A gradient that is made twice comes from an action BACKWARD that *runs again*.
// (Keep::REBUILD, of a saved value, is another matter: backward makes it from others.)
#include <algorithm>

#include "engine/graph/plan_internal.h"

namespace encke::internal {
namespace {

using Kind = PlanStep::Kind;

constexpr int64_t kMuchLarger = 4;  // weights than tensors of the whole batch

}  // namespace

// What a node that gathers makes is made when it is first read: a block's two branches meet in the
// section of the sum, so that neither has to wait for the other whole, if its input is made again.
void Schedule::PutOffForward() {
  for (int n = 0; n < static_cast<int>(graph_.nodes.size()); ++n) {
    const size_t at = Find(Kind::FORWARD, n);
    if (at == 0 || at >= actions_.size() || actions_[at - 1].kind != Kind::FINISH_FORWARD) continue;
    const int output = graph_.nodes[n].outputs[0];
    const auto reads = [&](const Action& action) {
      const std::vector<int>& inputs = graph_.nodes[action.node].inputs;
      return std::any_of(inputs.begin(), inputs.end(),
                         [&](int edge) { return CanonicalValue(graph_, edge) == output; });
    };
    const auto begin = actions_.begin() + static_cast<int64_t>(at);
    const auto reader = std::find_if(begin + 1, actions_.end(), reads);
    if (reader != actions_.end()) std::rotate(begin, begin + 1, reader);
  }
}

// The input of a node that gathers is made in one section and used in the next: made there again,
// it need not wait whole.
void Schedule::RematerializeValues() {
  for (int value : plan_.rematerialized) {
    const int reader = graph_.values[value].consumers.at(0);
    const size_t use = Find(Kind::FORWARD, reader);
    const int section = actions_[use].section;
    if (actions_[Find(Kind::FORWARD, graph_.values[value].producer)].section == section) continue;
    std::vector<Action> added;
    AddMaking(value, section, use, &added);
    actions_.insert(actions_.begin() + static_cast<int64_t>(use), added.begin(), added.end());
  }
}

// What it is made from is there whole, or made again, too: once in a section, whose actions before
// number `use` are those before `added`.
void Schedule::AddMaking(int value, int section, size_t use, std::vector<Action>* added) {
  const int producer = graph_.values[value].producer;
  if (producer < 0) {
    added->push_back({Kind::INPUT, -1, section});
  } else {
    for (int edge : graph_.nodes[producer].inputs) {
      const int input = CanonicalValue(graph_, edge);
      const int made_by = graph_.values[input].producer;
      const bool cheap = made_by < 0 || graph_.nodes[made_by].layer->CheapToRebuild();
      const bool again = (cheap && !whole_value_[input]) || plan_.rematerialized.count(input) > 0;
      const auto makes = [&](const Action& action) {
        const bool made = action.kind == Kind::REBUILD || action.kind == Kind::INPUT;
        return made && action.node == made_by && action.section == section;
      };
      const auto end = actions_.begin() + static_cast<int64_t>(use);
      const bool there = std::any_of(actions_.begin(), end, makes) ||
                         std::any_of(added->begin(), added->end(), makes);
      if (again && !there) AddMaking(input, section, use, added);
    }
    added->push_back({Kind::REBUILD, producer, section});
  }
  made_again_.insert(value);
}

// The gradient that a pool hands to a node that gathers is larger than the one that it gets, and
// made from that at little cost.
void Schedule::RematerializeGradients() {
  for (size_t n = 0; n < graph_.nodes.size(); ++n) {
    const Node& node = graph_.nodes[n];
    const int value = CanonicalValue(graph_, node.inputs[0]);
    const int maker = graph_.values[value].producer;
    const bool pools =
        node.inputs.size() == 1 && node.parameters.empty() &&
        node.layer->Flow(0) == GradientFlow::COMPUTED &&
        SavedReadBy(graph_, plan_, static_cast<int>(n)).empty() &&
        graph_.values[node.outputs[0]].shape.sample() < graph_.values[value].shape.sample();
    const bool gathered = maker >= 0 && needs_gradient_[value] &&
                          graph_.nodes[maker].layer->Gathers() &&
                          graph_.values[value].consumers.size() == 1;
    if (!pools || !gathered) continue;
    const size_t first = Find(Kind::BACKWARD, static_cast<int>(n));
    const size_t use = Find(Kind::BACKWARD, maker);
    const size_t gather = Find(Kind::GATHER_BACKWARD, maker);
    const bool apart = actions_[first].section != actions_[use].section;
    if (!apart || actions_[gather].section != actions_[first].section) continue;
    actions_[first].runs_again = true;
    actions_.insert(actions_.begin() + static_cast<int64_t>(use),
                    {Kind::BACKWARD, static_cast<int>(n), actions_[use].section});
    gradient_made_again_.insert(value);
  }
}

// Whether nobody hands on the gradient of what comes after `value` as its own (a sum does, to all
// of its inputs): nobody then overwrites it either before it is read.
bool Schedule::OwnsGradient(int value) const {
  for (int n : graph_.values[value].consumers) {
    const Node& node = graph_.nodes[n];
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const bool handed = node.layer->Flow(static_cast<int>(i)) == GradientFlow::IDENTITY;
      if (node.inputs[i] == value && (handed || node.layer->IsView())) return false;
    }
  }
  return true;
}

// Every slice would read and write gradients that are much larger than what it works on.
void Schedule::DeferParameters() {
  const int64_t type_bytes = SizeOf(plan_.options.compute);
  for (const Action& action : actions_) {
    const bool sliced = sections_[action.section].samples < plan_.batch;
    if (action.kind != Kind::BACKWARD || !sliced) continue;
    const Node& node = graph_.nodes[action.node];
    if (node.parameters.empty()) continue;
    const std::vector<int> read = SavedReadBy(graph_, plan_, action.node);
    const bool plain = node.inputs.size() == 1 && !node.layer->Gathers() && read.size() == 1 &&
                       plan_.saved[read[0]].keep == Keep::CODEC && OwnsGradient(node.outputs[0]);
    if (!plain) continue;
    const int64_t worked_on = graph_.values[node.inputs[0]].shape.sample() +
                              graph_.values[node.outputs[0]].shape.sample();
    int64_t parameters = 0;
    for (int p : node.parameters) parameters += graph_.parameters[p].spec.shape.elements();
    const int64_t float_bytes = SizeOf(DType::F32);
    if (kMuchLarger * plan_.batch * worked_on * type_bytes > parameters * float_bytes) continue;
    defers_.insert(action.node);
    whole_gradient_[node.outputs[0]] = true;
  }
}

}  // namespace encke::internal
