// What the schedule does differently from what the graph says, so that less has to be held for the
// whole batch at a time. None of it changes a result but by the order in which gradients are added.
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

// Where a block's branches meet in backward, the shorter one comes last.
void Schedule::PutOffBackward() {
  if (plan_.late_branches.empty()) return;
  for (const ShortBranch& branch : FindShortBranches(graph_)) {
    if (plan_.late_branches.count(branch.nodes[0]) == 0) continue;
    const size_t finish = Find(Kind::FINISH_BACKWARD, branch.nodes[0]);
    size_t end = finish + 1, meeting = 0;  // of the branch; the last action of the others
    for (int n : branch.nodes) {
      if (end < actions_.size() && actions_[end].node == n) ++end;
    }
    for (int other : graph_.values[branch.fork].consumers) {
      if (other != branch.nodes.back()) meeting = std::max(meeting, Find(Kind::BACKWARD, other));
    }
    const bool all = end == finish + 1 + branch.nodes.size();
    if (!all || meeting < end || meeting >= actions_.size()) continue;
    const auto at = [&](size_t a) { return actions_.begin() + static_cast<int64_t>(a); };
    const auto next = std::find_if(at(end), at(meeting), [](const Action& action) {
      return action.kind == Kind::FINISH_BACKWARD;
    });
    if (next == at(meeting)) continue;
    // Its sums are complete when those of the longer one are.
    const auto moved = std::rotate(at(finish), at(end), next);
    std::rotate(moved + 1, next, at(meeting) + 1);
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

// The gradient of what a node that gathers makes is made in one section, for the sums, and used in
// the next: made there again, it need not wait whole. Those that pools hand on always are: they are
// larger than the ones that pools get. From the network's end on, so that it is known of each
// gradient whether it is made again when others are to be made from it.
void Schedule::RematerializeGradients() {
  for (int n = static_cast<int>(graph_.nodes.size()) - 1; n >= 0; --n) {
    const int value = graph_.nodes[n].outputs[0];
    if (plan_.rematerialized_gradients.count(value) > 0 || IsPooled(value)) {
      MakeGradientAgain(value);
    }
  }
  MarkRepeated();
}

// Whether a pool, which needs no saved value in backward, is its only reader.
bool Schedule::IsPooled(int value) const {
  if (graph_.values[value].consumers.size() != 1) return false;
  const int n = graph_.values[value].consumers[0];
  const Node& node = graph_.nodes[n];
  return node.inputs.size() == 1 && node.parameters.empty() &&
         node.layer->Flow(0) == GradientFlow::COMPUTED && SavedReadBy(graph_, plan_, n).empty() &&
         graph_.values[node.outputs[0]].shape.sample() < graph_.values[value].shape.sample();
}

// Where a node that gathers makes `value`, and one node reads it.
void Schedule::MakeGradientAgain(int value) {
  const int maker = graph_.values[value].producer;
  const bool gathered = maker >= 0 && needs_gradient_[value] &&
                        graph_.nodes[maker].layer->Gathers() &&
                        graph_.values[value].consumers.size() == 1;
  if (!gathered) return;
  const size_t first = Find(Kind::BACKWARD, graph_.values[value].consumers[0]);
  const size_t use = Find(Kind::BACKWARD, maker);
  const size_t gather = Find(Kind::GATHER_BACKWARD, maker);
  const bool apart = actions_[first].section != actions_[use].section;
  if (!apart || actions_[gather].section != actions_[first].section) return;
  std::vector<Action> added;
  AddGradientMaking(value, actions_[use].section, &added);
  actions_.insert(actions_.begin() + static_cast<int64_t>(use), added.begin(), added.end());
}

// What it is made from is there whole, or made again, too; but what a pool gets is whole.
void Schedule::AddGradientMaking(int value, int section, std::vector<Action>* added) {
  const int reader = graph_.values[value].consumers.at(0);
  const int output = graph_.nodes[reader].outputs[0];
  const bool slices =
      !whole_gradient_[output] && !IsPooled(value) && HasCheapGradient(graph_, output);
  if (slices || GradientMadeAgain(output)) AddGradientMaking(output, section, added);
  added->push_back({Kind::BACKWARD, reader, section});
  gradient_made_again_.insert(value);
}

void Schedule::MarkRepeated() {
  for (size_t a = 0; a < actions_.size(); ++a) {
    Action& action = actions_[a];
    const auto same = [&](const Action& other) {
      return other.kind == Kind::BACKWARD && other.node == action.node;
    };
    const auto begin = actions_.begin(), at = begin + static_cast<int64_t>(a);
    action.again = action.kind == Kind::BACKWARD && std::any_of(begin, at, same);
    action.runs_again = action.kind == Kind::BACKWARD && std::any_of(at + 1, actions_.end(), same);
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
    if (action.kind != Kind::BACKWARD || !sliced || action.runs_again || action.again) continue;
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
