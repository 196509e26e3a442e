// Which saved values' tensors linger. The last reader of many works in place: a batch norm
// overwrites its input, and the ReLU that ends a block its sum. Right before, they have to be
// encoded, and a batch norm's input first waits for bounds, which the host makes of what the device
// has just computed. With another tensor for the result the device has the reader to run while the
// host is at it, and encodes beside the node behind that.
#include <algorithm>

#include "engine/graph/plan_internal.h"

namespace encke::internal {
namespace {

using Kind = PlanStep::Kind;

struct Candidate {
  int saved = -1;
  int64_t bytes = 0;       // that two tensors in place of one take
  int first = 0, end = 0;  // steps in which both are there
};

// The first step from `s` on, before `end`, that has the device compute for another node; else
// `end`.
int NextNode(const Plan& plan, int s, int end) {
  const auto computes = [](const PlanStep& step) {
    return step.kind == Kind::FORWARD || step.kind == Kind::GATHER_FORWARD;
  };
  while (s < end && !computes(plan.steps[s])) ++s;
  return s;
}

void AddCandidates(const Plan& plan, const PlanSection& section, std::vector<Candidate>* found) {
  for (int s = section.first; s + 1 < section.end; ++s) {
    const PlanStep &store = plan.steps[s], &reader = plan.steps[s + 1];
    const bool overwritten = store.kind == Kind::STORE && reader.kind == Kind::FORWARD &&
                             !reader.outputs.empty() && reader.outputs[0] == store.buffer;
    if (!overwritten || plan.saved[store.saved].keep != Keep::CODEC) continue;
    const int next = NextNode(plan, s + 2, section.end);
    if (next == section.end) continue;  // nothing to do meanwhile
    const PlannedBuffer& buffer = plan.buffers[store.buffer];
    const bool sliced = section.samples < plan.batch;
    Candidate candidate = {store.saved, buffer.bytes, s + 1, next + 1};
    if (sliced && buffer.whole) {
      candidate.end = section.end;  // the whole tensor stays until then in any case
      if (buffer.last < section.end) candidate.bytes = buffer.sample_bytes * section.samples;
    }
    found->push_back(candidate);
  }
}

}  // namespace

ValueGroups ChooseLingering(const Plan& plan, std::vector<int64_t> room) {
  std::vector<Candidate> candidates;
  for (const PlanSection& section : plan.sections) AddCandidates(plan, section, &candidates);
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) { return a.bytes > b.bytes; });
  ValueGroups chosen;
  for (const Candidate& candidate : candidates) {
    if (TakeRoom(candidate.first, candidate.end, candidate.bytes, &room)) {
      chosen.push_back({candidate.saved});
    }
  }
  return chosen;
}

}  // namespace encke::internal
