// Which inputs of batch norms are computed twice. A batch norm needs the statistics of all samples
// before it can normalise the first: its input waits for them, whole, or is made slice by slice in
// one pass for the statistics and again in the next. The second way pays for a 1x1 convolution to
// many channels at the beginning of a network, hardly elsewhere.
#include <algorithm>

#include "engine/graph/plan_internal.h"

namespace encke::internal {
namespace {

constexpr int64_t kMacsOfStep = 3;    // training takes three times forward's arithmetic
constexpr double kNearlyPeak = 0.97;  // steps with so much of the peak are taken on together

// A tensor that waits for statistics.
struct Candidate {
  int value;
  int64_t macs;     // to make it once, of the batch
  int64_t bytes;    // saved while it waits: its own, without those of what it is made from
  int first, last;  // steps in which it waits
};

bool HasSampleStates(const Layer& layer) {
  const std::vector<StateSpec> states = layer.States();
  return std::any_of(states.begin(), states.end(),
                     [](const StateSpec& state) { return !state.whole; });
}

// Values from which `value` would be made that are themselves inputs of nodes that gather, reached
// through what is made again along with it.
void ListSources(const Graph& graph, int value, std::set<int>* sources) {
  for (int edge : graph.nodes[graph.values[value].producer].inputs) {
    const int input = CanonicalValue(graph, edge);
    const int maker = graph.values[input].producer;
    if (maker < 0) continue;
    sources->insert(input);
    if (graph.nodes[maker].layer->CheapToRebuild()) ListSources(graph, input, sources);
  }
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
    bytes += !buffer.whole && graph.nodes[maker].layer->CheapToRebuild()
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
    candidates.push_back(
        {value, graph.nodes[maker].layer->Macs(), bytes, buffer.first, buffer.last});
  }
  return candidates;
}

// Two of which one is made from the other would be made three times.
bool Apart(const Graph& graph, const Plan& plan, int value) {
  std::set<int> sources;
  ListSources(graph, value, &sources);
  for (int chosen : plan.rematerialized) {
    std::set<int> of_chosen;
    ListSources(graph, chosen, &of_chosen);
    if (sources.count(chosen) > 0 || of_chosen.count(value) > 0) return false;
  }
  return true;
}

// Steps at which nearly as much as ever is held, or of the arena taken.
std::vector<bool> FullSteps(const Plan& plan) {
  const std::vector<int64_t> taken = BytesAlive(plan);
  std::vector<bool> full(plan.steps.size());
  for (const auto* use : {&taken, &plan.predicted_in_use}) {
    const double high =
        kNearlyPeak * static_cast<double>(*std::max_element(use->begin(), use->end()));
    for (size_t s = 0; s < full.size(); ++s) full[s] = full[s] || (*use)[s] >= high;
  }
  return full;
}

int64_t MacsSpent(const Graph& graph, const Plan& plan) {
  int64_t macs = 0;
  for (int value : plan.rematerialized) {
    macs += graph.nodes[graph.values[value].producer].layer->Macs();
  }
  return macs;
}

}  // namespace

bool Rematerialize(const Graph& graph, Plan* plan) {
  if (plan->options.rematerialize <= 0) return false;
  std::vector<Candidate> candidates = ListCandidates(graph, *plan);
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) {
                     return static_cast<double>(a.bytes) / static_cast<double>(a.macs + 1) >
                            static_cast<double>(b.bytes) / static_cast<double>(b.macs + 1);
                   });
  const int64_t budget = static_cast<int64_t>(plan->options.rematerialize *
                                              static_cast<double>(kMacsOfStep * graph.Macs()));
  int64_t left = budget - MacsSpent(graph, *plan);
  const std::vector<bool> full = FullSteps(*plan);
  bool added = false;
  for (const Candidate& candidate : candidates) {
    if (candidate.macs > left) continue;
    const auto begin = full.begin();
    const bool in_the_way =
        std::count(begin + candidate.first, begin + candidate.last + 1, true) > 0;
    if (!in_the_way || !Apart(graph, *plan, candidate.value)) continue;
    plan->rematerialized.insert(candidate.value);
    left -= candidate.macs;
    added = true;
  }
  return added;
}

}  // namespace encke::internal
