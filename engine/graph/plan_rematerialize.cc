// Which inputs of batch norms are computed twice, and which gradients of their outputs. A batch
// norm needs the statistics of all samples before it can normalise the first: its input waits for
// them, whole, or is made slice by slice in one pass for the statistics and again in the next. In
// backward the gradient of its output waits for sums likewise. The second way pays at the beginning
// of a network, where tensors are large and convolutions have few channels.
#include <algorithm>

#include "engine/graph/plan_internal.h"

namespace encke::internal {
namespace {

constexpr int64_t kMacsOfStep = 3;  // training takes three times forward's arithmetic

// A tensor of the whole batch that would not be there for so long.
struct Candidate {
  std::set<int> Plan::*choice;  // of which `item` would be
  int item;      // the value, that or whose gradient waits for statistics; of late branches, a node
  int64_t macs;  // to make it once, of the batch
  int64_t bytes;    // saved while it waits: its own, without those of what it is made from
  int first, last;  // steps in which it waits
};

bool HasSampleStates(const Layer& layer) {
  const std::vector<StateSpec> states = layer.States();
  return std::any_of(states.begin(), states.end(),
                     [](const StateSpec& state) { return !state.whole; });
}

// By node: the buffer in which forward makes its output 0.
std::vector<int> OutputBuffers(const Graph& graph, const Plan& plan) {
  std::vector<int> made_in(graph.nodes.size(), -1);
  for (const PlanStep& step : plan.steps) {
    if (step.kind == PlanStep::Kind::FORWARD && !step.outputs.empty()) {
      made_in[step.node] = step.outputs[0];
    }
  }
  return made_in;
}

// Whether `value` is made again along with what is made from it, as long as it is not there whole.
bool MadeAlong(const Graph& graph, const Plan& plan, int value) {
  const int maker = graph.values[value].producer;
  return maker >= 0 &&
         (graph.nodes[maker].layer->CheapToRebuild() || plan.rematerialized.count(value) > 0);
}

// To make `value` once more, with what is not kept for it either.
int64_t MacsToMake(const Graph& graph, const Plan& plan, int value) {
  const Node& maker = graph.nodes[graph.values[value].producer];
  int64_t macs = maker.layer->Macs();
  for (int edge : maker.inputs) {
    const int input = CanonicalValue(graph, edge);
    if (MadeAlong(graph, plan, input)) macs += MacsToMake(graph, plan, input);
  }
  return macs;
}

// What `value` is made from must then be there until step `last`: bytes that are not so far.
int64_t BytesOfSources(const Graph& graph, const Plan& plan, const std::vector<int>& made_in,
                       int value, int last) {
  int64_t bytes = 0;
  for (int edge : graph.nodes[graph.values[value].producer].inputs) {
    const int input = CanonicalValue(graph, edge);
    const int maker = graph.values[input].producer;
    if (maker < 0 || made_in[maker] < 0) continue;
    const PlannedBuffer& buffer = plan.buffers[made_in[maker]];
    if (buffer.last >= last) continue;
    bytes += !buffer.whole && MadeAlong(graph, plan, input)
                 ? BytesOfSources(graph, plan, made_in, input, last)
                 : buffer.sample_bytes * plan.batch;
  }
  return bytes;
}

// Whether backward reads the very tensor that forward has made.
bool StaysInPlace(const Plan& plan, int value) {
  return std::any_of(plan.saved.begin(), plan.saved.end(), [&](const SavedValue& saved) {
    return saved.value == value && saved.keep == Keep::RAW;
  });
}

std::vector<Candidate> ListCandidates(const Graph& graph, const Plan& plan) {
  std::vector<Candidate> candidates;
  const std::vector<int> made_in = OutputBuffers(graph, plan);
  for (const Node& node : graph.nodes) {
    if (!node.layer->Gathers()) continue;
    const int value = CanonicalValue(graph, node.inputs[0]);
    const int maker = graph.values[value].producer;
    if (maker < 0 || value != node.inputs[0] || plan.rematerialized.count(value) > 0) continue;
    const bool plain = graph.values[value].consumers.size() == 1 && value != graph.logits &&
                       !StaysInPlace(plan, value) && !graph.nodes[maker].layer->Gathers() &&
                       !HasSampleStates(*graph.nodes[maker].layer);
    if (!plain || made_in[maker] < 0) continue;
    const PlannedBuffer& buffer = plan.buffers[made_in[maker]];
    if (!buffer.whole) continue;
    const int64_t bytes = buffer.bytes - BytesOfSources(graph, plan, made_in, value, buffer.last);
    if (bytes <= 0) continue;
    candidates.push_back({&Plan::rematerialized, value, MacsToMake(graph, plan, value), bytes,
                          buffer.first, buffer.last});
  }
  return candidates;
}

// By node: its first step BACKWARD, -1: it has none.
std::vector<int> BackwardSteps(const Graph& graph, const Plan& plan) {
  std::vector<int> step_of(graph.nodes.size(), -1);
  for (int s = static_cast<int>(plan.steps.size()) - 1; s >= 0; --s) {
    if (plan.steps[s].kind == PlanStep::Kind::BACKWARD) step_of[plan.steps[s].node] = s;
  }
  return step_of;
}

// Where node `maker` finds the gradient of its output.
int GradientBuffer(const Plan& plan, const std::vector<int>& step_of, int maker) {
  return plan.steps[step_of[maker]].output_gradients[0];
}

// The value whose gradient is there for the whole batch, and from which slices of `value`'s are
// made, through whatever is made again along with it; -1: there is none.
int GradientSource(const Graph& graph, const Plan& plan, const std::vector<int>& step_of,
                   int value) {
  while (true) {
    const int reader = graph.values[value].consumers[0];
    if (step_of[reader] < 0) return -1;
    value = graph.nodes[reader].outputs[0];
    const int buffer = GradientBuffer(plan, step_of, reader);
    const bool whole = buffer >= 0 && plan.buffers[buffer].whole;
    if (!HasCheapGradient(graph, value)) return whole ? value : -1;
    // Written over the one that it was made from, it is as large, though slices would do.
    const int maker = graph.values[value].consumers[0];
    const bool in_place = step_of[maker] >= 0 && GradientBuffer(plan, step_of, maker) == buffer;
    if (whole && !in_place) return value;
  }
}

void AddGradients(const Graph& graph, const Plan& plan, const std::vector<int>& step_of,
                  std::vector<Candidate>* candidates) {
  for (const Node& node : graph.nodes) {
    const int value = node.outputs[0];
    const std::vector<int>& consumers = graph.values[value].consumers;
    if (!node.layer->Gathers() || consumers.size() != 1) continue;
    const int reader = consumers[0];
    const Node& reading = graph.nodes[reader];
    const bool plain = reading.inputs.size() == 1 && reading.inputs[0] == value &&
                       !reading.layer->IsView() && !reading.layer->Gathers();
    if (!plain || step_of[reader] < 0 || !plan.steps[step_of[reader]].parameters ||
        plan.rematerialized_gradients.count(value) > 0)
      continue;
    const int made_in = plan.steps[step_of[reader]].input_gradients[0];
    const int source = GradientSource(graph, plan, step_of, value);
    if (made_in < 0 || source < 0 || !plan.buffers[made_in].whole) continue;
    const PlannedBuffer& buffer = plan.buffers[made_in];
    const PlannedBuffer& made_from =
        plan.buffers[GradientBuffer(plan, step_of, graph.values[source].producer)];
    const int64_t bytes = buffer.bytes - (made_from.last < buffer.last ? made_from.bytes : 0);
    if (bytes <= 0) continue;
    candidates->push_back({&Plan::rematerialized_gradients, value, reading.layer->Macs(), bytes,
                           buffer.first, buffer.last});
  }
}

// The gradient of the value from which branches come is there from the first branch's end in
// backward to the last one's: in vain, as long as the others are at work.
void AddBranches(const Graph& graph, const Plan& plan, const std::vector<int>& step_of,
                 std::vector<Candidate>* candidates) {
  for (const ShortBranch& branch : FindShortBranches(graph)) {
    const int norm = branch.nodes.front(), at = step_of[branch.nodes.back()];
    if (at < 0 || step_of[norm] < 0 || plan.late_branches.count(norm) > 0) continue;
    const int made_in = plan.steps[at].input_gradients[0];
    const int sum = GradientBuffer(plan, step_of, norm);
    if (made_in < 0 || !plan.buffers[made_in].whole) continue;
    int last = at;
    for (int other : graph.values[branch.fork].consumers) last = std::max(last, step_of[other]);
    const int64_t bytes = plan.buffers[made_in].bytes - plan.buffers[sum].bytes;
    if (last == at || bytes <= 0) continue;
    candidates->push_back(
        {&Plan::late_branches, norm, 0, bytes, plan.buffers[made_in].first, last});
  }
}

// Two of which one is made from the other would be made three times.
bool GradientsApart(const Graph& graph, const Plan& plan, const std::vector<int>& step_of,
                    int value) {
  const std::set<int>& chosen = plan.rematerialized_gradients;
  return chosen.count(GradientSource(graph, plan, step_of, value)) == 0 &&
         std::none_of(chosen.begin(), chosen.end(), [&](int other) {
           return GradientSource(graph, plan, step_of, other) == value;
         });
}

// Steps at which at least `share` of the most is held, or of the arena taken.
std::vector<bool> FullSteps(const Plan& plan, double share) {
  const std::vector<int64_t> taken = BytesAlive(plan);
  std::vector<bool> full(plan.steps.size());
  for (const auto* use : {&taken, &plan.predicted_in_use}) {
    const double high = share * static_cast<double>(*std::max_element(use->begin(), use->end()));
    for (size_t s = 0; s < full.size(); ++s) full[s] = full[s] || (*use)[s] >= high;
  }
  return full;
}

int64_t MacsSpent(const Graph& graph, const Plan& plan) {
  int64_t macs = 0;
  for (int value : plan.rematerialized) macs += MacsToMake(graph, plan, value);
  for (int value : plan.rematerialized_gradients) {
    macs += graph.nodes[graph.values[value].consumers[0]].layer->Macs();
  }
  return macs;
}

}  // namespace

double ShareMadeTwice(const Graph& graph, const Plan& plan) {
  const auto macs = static_cast<double>(std::max<int64_t>(kMacsOfStep * graph.Macs(), 1));
  return static_cast<double>(MacsSpent(graph, plan)) / macs;
}

bool Rematerialize(const Graph& graph, double full, Plan* plan) {
  const PlanOptions& options = plan->options;
  if (options.rematerialize <= 0 || !options.compress || !options.training) return false;
  std::vector<Candidate> candidates = ListCandidates(graph, *plan);
  const std::vector<int> step_of = BackwardSteps(graph, *plan);
  AddGradients(graph, *plan, step_of, &candidates);
  AddBranches(graph, *plan, step_of, &candidates);
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) {
                     return static_cast<double>(a.bytes) / static_cast<double>(a.macs + 1) >
                            static_cast<double>(b.bytes) / static_cast<double>(b.macs + 1);
                   });
  const std::vector<bool> full_steps = FullSteps(*plan, full);
  bool added = false;
  for (const Candidate& candidate : candidates) {
    const auto begin = full_steps.begin();
    const bool in_the_way =
        std::count(begin + candidate.first, begin + candidate.last + 1, true) > 0;
    const bool gradient = candidate.choice == &Plan::rematerialized_gradients;
    if (!in_the_way || (gradient && !GradientsApart(graph, *plan, step_of, candidate.item)))
      continue;
    std::set<int>& choice = plan->*candidate.choice;
    choice.insert(candidate.item);
    if (ShareMadeTwice(graph, *plan) > options.rematerialize) {
      choice.erase(candidate.item);
    } else {
      added = true;
    }
  }
  return added;
}

}  // namespace encke::internal
