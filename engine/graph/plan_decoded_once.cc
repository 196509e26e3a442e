// Which saved values are decoded once. A batch norm's backward reads its input in two sections, for
// the sums over the batch and to apply them, and a block's sum serves in more; what a section needs
// it decodes, slice by slice. Held whole from the first section to the last it costs memory, which
// there is beside the peak, though not for all; and for part of the batch's samples where not for
// all of them.
#include <algorithm>
#include <limits>
#include <utility>

#include "engine/graph/plan_internal.h"

namespace encke::internal {
namespace {

constexpr double kLeastShare = 0.003;  // of what is encoded: less is not worth a plan

struct Candidate {
  int saved = -1;
  int64_t bytes = 0;       // of the whole batch
  int64_t decoded = 0;     // bytes that are decoded once less
  int first = 0, end = 0;  // steps in which it would be held
};

// A value of which samples would be held.
struct Part {
  int saved = -1;
  int64_t sample_bytes = 0;
  int64_t slice = 0;          // samples, of the largest among the sections that read it
  size_t readers = 0;         // sections
  int first = 0, end = 0;     // steps in which it would be held
  std::vector<bool> at_hand;  // by step from `first` on: a decoded slice is there in any case
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

// Marks the steps in which decoded slices are there.
void FindSlices(const Plan& plan, Part* part) {
  part->at_hand.assign(part->end - part->first, false);
  for (int s = part->first; s < part->end; ++s) {
    const PlanStep& step = plan.steps[s];
    if (step.kind != PlanStep::Kind::FETCH || step.saved != part->saved) continue;
    const PlannedBuffer& buffer = plan.buffers[step.buffer];
    const int first = std::max(buffer.first, part->first),
              end = std::min(buffer.last + 1, part->end);
    std::fill(part->at_hand.begin() + (first - part->first),
              part->at_hand.begin() + (end - part->first), true);
  }
}

std::vector<Part> ListParts(const Graph& graph, const Plan& plan) {
  std::vector<Part> parts;
  const std::vector<std::set<int>> sections = SectionsReading(plan);
  const std::set<int> whole = ReadForDeferred(graph, plan);
  for (size_t i = 0; i < plan.saved.size(); ++i) {
    const int s = static_cast<int>(i);
    const SavedValue& saved = plan.saved[i];
    const bool fit = saved.keep == Keep::CODEC && sections[i].size() > 1 && whole.count(s) == 0 &&
                     plan.decoded_once.count(s) == 0;
    if (!fit) continue;
    Part part;
    part.saved = s;
    part.sample_bytes = graph.values[saved.value].shape.sample() * SizeOf(plan.options.compute);
    part.readers = sections[i].size();
    for (int section : sections[i]) {
      part.slice = std::max(part.slice, plan.sections[section].samples);
    }
    part.first = plan.sections[*sections[i].begin()].first;
    part.end = plan.sections[*sections[i].rbegin()].end;
    if (part.slice == plan.batch) continue;
    FindSlices(plan, &part);
    parts.push_back(std::move(part));
  }
  // What spares most decoding for its bytes first, and what is held for a short time.
  std::stable_sort(parts.begin(), parts.end(), [](const Part& a, const Part& b) {
    return std::make_pair(b.readers, a.end - a.first) < std::make_pair(a.readers, b.end - b.first);
  });
  return parts;
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

HeldSamples ChooseHeldSamples(const Graph& graph, const Plan& plan, std::vector<int64_t> room) {
  HeldSamples chosen;
  double coded = 0;  // bytes
  for (const SavedValue& saved : plan.saved) coded += saved.encoded() ? saved.raw_bytes : 0;
  const double worth = std::max(kLeastShare * coded, 1.0);
  for (const Part& part : ListParts(graph, plan)) {
    const auto found = plan.held_samples.find(part.saved);
    const int64_t held = found == plan.held_samples.end() ? 0 : found->second;
    // Between the sections that read it a slice is there, too.
    const auto beside = [&](int s) {
      return part.at_hand[s - part.first] ? 0 : part.slice * part.sample_bytes;
    };
    int64_t free = std::numeric_limits<int64_t>::max();
    for (int s = part.first; s < part.end; ++s) free = std::min(free, room[s] - beside(s));
    const int64_t more =
        std::min(std::max<int64_t>(free, 0) / part.sample_bytes, plan.batch - part.slice - held);
    if (static_cast<double>(more * part.sample_bytes) < worth) continue;
    for (int s = part.first; s < part.end; ++s) room[s] -= more * part.sample_bytes + beside(s);
    chosen.push_back({part.saved, held + more});
  }
  return chosen;
}

}  // namespace encke::internal
