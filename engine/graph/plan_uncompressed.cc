// Which saved values stay as they are, under a memory limit that leaves room. Most of memory is
// free in the middle of an iteration, when the layers at work are small: what forward makes last
// and backward reads first need not be encoded and decoded.
#include <algorithm>
#include <cmath>

#include "engine/graph/plan_internal.h"

namespace encke::internal {
namespace {

// What a byte costs, roughly (doc/results/codec.md).
constexpr int64_t kEncode = 2, kDecode = 1;
constexpr int64_t kPlain = 2, kSides = 3;  // with two bounds (SavedValue::sides)
constexpr double kWorthSteps = 8;          // in which what a byte spares is told apart

// Values from which others are made together, so that these are exact: mostly one.
struct Candidate {
  std::vector<int> saved;
  int64_t bytes = 0;       // that they take at a time, more than encoded
  int64_t coded = 0;       // what encoding and decoding takes, in units of time a byte
  int first = 0, end = 0;  // steps in which it would be held
};

// Where a saved value is stored, which sections bring it back, and up to where it would be held.
struct Use {
  int section = -1, store = -1, end = -1;
  std::set<int> reading;
};

std::vector<Use> UsesOf(const Plan& plan) {
  std::vector<Use> uses(plan.saved.size());
  for (int section = 0; section < static_cast<int>(plan.sections.size()); ++section) {
    const auto& [first, end, samples, reversed] = plan.sections[section];
    for (int s = first; s < end; ++s) {
      const PlanStep& step = plan.steps[s];
      const bool brings = step.kind == PlanStep::Kind::FETCH || step.kind == PlanStep::Kind::DERIVE;
      if (step.kind == PlanStep::Kind::STORE) {
        uses[step.saved].section = section;
        uses[step.saved].store = s;
      } else if (brings) {
        uses[step.saved].reading.insert(section);
        const int last = samples < plan.batch ? end : plan.buffers[step.buffer].last + 1;
        uses[step.saved].end = std::max(uses[step.saved].end, last);
      }
    }
  }
  return uses;
}

// Adds saved value `s`; false where it is not encoded.
bool Add(const Plan& plan, int s, const Use& use, Candidate* candidate) {
  const SavedValue& saved = plan.saved[s];
  const bool fit = saved.keep == Keep::CODEC && !saved.exact && use.store >= 0 &&
                   !use.reading.empty() && plan.rematerialized.count(saved.value) == 0;
  if (!fit) return false;
  // Where one section does it all, there is a slice at a time.
  const PlanSection& section = plan.sections[use.section];
  const bool within = *use.reading.rbegin() == use.section;
  const int64_t more = std::max<int64_t>(saved.raw_bytes - saved.predicted_bytes, 0);
  const bool first = candidate->saved.empty();
  candidate->saved.push_back(s);
  candidate->bytes += within ? more * section.samples / plan.batch : more;
  const int64_t passes = kEncode + static_cast<int64_t>(use.reading.size()) * kDecode;
  candidate->coded += passes * (saved.sides ? kSides : kPlain) * saved.raw_bytes;
  candidate->first = first ? use.store : std::min(candidate->first, use.store);
  candidate->end = std::max(candidate->end, use.end);
  return true;
}

// Saved values that serve the same one are together, each in one group.
ValueGroups GroupsOf(const Plan& plan) {
  std::vector<std::set<int>> served;  // by the groups
  ValueGroups groups;
  for (size_t s = 0; s < plan.saved.size(); ++s) {
    std::vector<int> group = {static_cast<int>(s)};
    std::set<int> serves(plan.saved[s].serves.begin(), plan.saved[s].serves.end());
    for (size_t g = groups.size(); g-- > 0;) {
      const bool meets = std::any_of(served[g].begin(), served[g].end(),
                                     [&](int value) { return serves.count(value) > 0; });
      if (!meets) continue;
      group.insert(group.begin(), groups[g].begin(), groups[g].end());
      serves.insert(served[g].begin(), served[g].end());
      groups.erase(groups.begin() + static_cast<int64_t>(g));
      served.erase(served.begin() + static_cast<int64_t>(g));
    }
    groups.push_back(std::move(group));
    served.push_back(std::move(serves));
  }
  return groups;
}

std::vector<Candidate> ListCandidates(const Graph& graph, const Plan& plan) {
  std::vector<Candidate> candidates;
  const std::vector<Use> uses = UsesOf(plan);
  const std::set<int> deferred = ReadForDeferred(graph, plan);  // which asks for encoded values
  for (const std::vector<int>& group : GroupsOf(plan)) {
    Candidate candidate;
    const bool fit = std::all_of(group.begin(), group.end(), [&](int s) {
      return deferred.count(s) == 0 && Add(plan, s, uses[s], &candidate);
    });
    if (fit) candidates.push_back(std::move(candidate));
  }
  return candidates;
}

// Whether all that `value` is made from is there as it was.
bool MadeFromExact(const Graph& graph, const Plan& plan, int value) {
  for (int edge : graph.nodes[graph.values[value].producer].inputs) {
    const int input = CanonicalValue(graph, edge);
    if (input == 0) continue;
    const auto saved = std::find_if(plan.saved.begin(), plan.saved.end(),
                                    [&](const SavedValue& s) { return s.value == input; });
    const bool kept = saved != plan.saved.end() && saved->keep != Keep::MASK;
    const bool exact =
        kept ? saved->keep == Keep::RAW || saved->exact : MadeFromExact(graph, plan, input);
    if (!exact) return false;
  }
  return true;
}

}  // namespace

std::set<int> ReadForDeferred(const Graph& graph, const Plan& plan) {
  std::set<int> read;
  for (const PlanStep& step : plan.steps) {
    if (step.kind != PlanStep::Kind::BACKWARD_PARAMETERS) continue;
    for (int s : SavedReadBy(graph, plan, step.node)) read.insert(s);
  }
  return read;
}

ValueGroups ChooseUncompressed(const Graph& graph, const Plan& plan, std::vector<int64_t> room) {
  std::vector<Candidate> candidates = ListCandidates(graph, plan);
  // What spares most coding for its bytes first; what is worth alike, from the last made on.
  const auto worth = [](const Candidate& c) {
    return std::lround(kWorthSteps * static_cast<double>(c.coded) /
                       static_cast<double>(std::max<int64_t>(c.bytes, 1)));
  };
  std::stable_sort(candidates.begin(), candidates.end(),
                   [&](const Candidate& a, const Candidate& b) {
                     return std::make_pair(worth(a), a.first) > std::make_pair(worth(b), b.first);
                   });
  ValueGroups chosen;
  for (const Candidate& candidate : candidates) {
    if (!TakeRoom(candidate.first, candidate.end, candidate.bytes, &room)) continue;
    chosen.push_back(candidate.saved);
  }
  return chosen;
}

void LeaveUncompressed(const Graph& graph, Plan* plan) {
  if (plan->uncompressed.empty()) return;
  for (int s : plan->uncompressed) {
    SavedValue& saved = plan->saved[s];
    saved.keep = Keep::RAW;
    saved.tier = Tier::IN_PLACE;
    saved.predicted_bytes = saved.raw_bytes;
  }
  for (SavedValue& saved : plan->saved) {  // in the order in which forward makes them
    if (saved.keep != Keep::REBUILD || saved.exact) continue;
    saved.exact = MadeFromExact(graph, *plan, saved.value);
  }
}

}  // namespace encke::internal
