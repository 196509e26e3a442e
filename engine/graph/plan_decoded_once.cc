// Which saved values are decoded once. A batch norm's backward reads its input in two sections, for
// the sums over the batch and to apply them, and a block's sum serves in more; what a section needs
// it decodes, slice by slice. Held whole from the first section to the last it costs memory, which
// there is beside the peak, though not for all.
#include <algorithm>

#include "engine/graph/plan_internal.h"

namespace encke::internal {
namespace {

struct Candidate {
  int saved = -1;
  int64_t bytes = 0;       // of the whole batch
  int64_t decoded = 0;     // bytes that are decoded once less
  int first = 0, end = 0;  // steps in which it would be held
};

// By saved value: the sections in which steps bring it back.
std::vector<std::set<int>> SectionsReading(const Plan& plan) {
  std::vector<std::set<int>> sections(plan.saved.size());
  for (int section = 0; section < static_cast<int>(plan.sections.size()); ++section) {
    for (int s = plan.sections[section].first; s < plan.sections[section].end; ++s) {
      const PlanStep& step = plan.steps[s];
      const bool brings = step.kind == PlanStep::Kind::FETCH || step.kind == PlanStep::Kind::DERIVE;
      if (brings) sections[step.saved].insert(section);
    }
  }
  return sections;
}

std::vector<Candidate> ListCandidates(const Graph& graph, const Plan& plan) {
  std::vector<Candidate> candidates;
  const std::vector<std::set<int>> sections = SectionsReading(plan);
  for (size_t s = 0; s < plan.saved.size(); ++s) {
    const SavedValue& saved = plan.saved[s];
    if (!saved.encoded() || sections[s].size() < 2) continue;
    Candidate candidate;
    candidate.saved = static_cast<int>(s);
    candidate.bytes =
        plan.batch * graph.values[saved.value].shape.sample() * SizeOf(plan.options.compute);
    // Deriving takes the block's sum and its shortcut.
    candidate.decoded = static_cast<int64_t>(sections[s].size() - 1) *
                        (saved.keep == Keep::DERIVE ? 2 : 1) * candidate.bytes;
    candidate.first = plan.sections[*sections[s].begin()].first;
    candidate.end = plan.sections[*sections[s].rbegin()].end;
    candidates.push_back(candidate);
  }
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) { return a.decoded > b.decoded; });
  return candidates;
}

}  // namespace

bool TakeRoom(int first, int end, int64_t bytes, std::vector<int64_t>* room) {
  const auto from = room->begin() + first, to = room->begin() + end;
  if (*std::min_element(from, to) < bytes) return false;
  std::for_each(from, to, [&](int64_t& left) { left -= bytes; });
  return true;
}

ValueGroups ChooseDecodedOnce(const Graph& graph, const Plan& plan, std::vector<int64_t> room) {
  ValueGroups chosen;
  for (const Candidate& candidate : ListCandidates(graph, plan)) {
    if (TakeRoom(candidate.first, candidate.end, candidate.bytes, &room)) {
      chosen.push_back({candidate.saved});
    }
  }
  return chosen;
}

}  // namespace encke::internal
