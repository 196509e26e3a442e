#include "engine/graph/plan_choice.h"

#include <algorithm>
#include <set>
#include <utility>

#include "engine/core/error.h"
#include "engine/core/units.h"

namespace encke {
namespace {

constexpr int64_t kGreatestSlice = 64 << 20;  // bytes of a layer's tensors, where slicing begins
constexpr int64_t kLeastSlice = 1 << 20;      // below, slices of one sample are reached
constexpr double kMoreTwice = 0.15;           // PlanOptions::rematerialize where it must be
constexpr int kSegments[] = {16, 8, 4};       // the more, the less is computed at a time

// `options` with slices of falling size.
void AddSlices(const PlanOptions& options, std::vector<PlanOptions>* alternatives) {
  alternatives->push_back(options);
  for (int64_t bytes = kGreatestSlice; bytes >= kLeastSlice; bytes /= 4) {
    const bool smaller = options.slice_bytes == 0 || bytes < options.slice_bytes;
    if (!smaller) continue;
    alternatives->push_back(options);
    alternatives->back().slice_bytes = bytes;
    alternatives->back().least_slice = 1;
  }
}

// `options` with every policy for which `change` does something changed.
template <typename Change>
PlanOptions WithPolicies(PlanOptions options, const Change& change) {
  for (SavedPolicy& policy : options.policies) change(&policy);
  return options;
}

}  // namespace

std::vector<PlanOptions> PlanAlternatives(const PlanOptions& options) {
  if (!options.compress) return {options};
  std::vector<PlanOptions> alternatives;
  AddSlices(options, &alternatives);
  PlanOptions dense = WithPolicies(options, [](SavedPolicy* policy) {
    if (policy->codec == "fast") policy->codec = "dense";
  });
  if (dense.policies != options.policies) {
    dense.assumed_ratio *= kDenseOverFast;
    AddSlices(dense, &alternatives);
  }
  // From here on with the smallest slices.
  PlanOptions least = alternatives.back();
  least.rematerialize = std::max(least.rematerialize, kMoreTwice);
  if (options.rematerialize > 0) alternatives.push_back(least);
  least = WithPolicies(alternatives.back(), [](SavedPolicy* policy) {
    if (policy->tier == Tier::MEMORY) policy->tier = Tier::FILE;
  });
  if (least.policies != dense.policies) alternatives.push_back(least);
  for (const int segments : kSegments) {
    if (options.recompute_segments > 0) break;
    alternatives.push_back(alternatives.back());
    alternatives.back().recompute_segments = segments;
  }
  return alternatives;
}

Plan ChoosePlan(Graph& graph, Backend& backend, int64_t batch, const PlanOptions& options,
                int64_t limit) {
  Plan best = MakePlan(graph, backend, batch, options);
  if (limit == 0) return best;
  std::vector<std::string> rejected;
  const std::vector<PlanOptions> alternatives = PlanAlternatives(options);
  for (size_t i = 1; i < alternatives.size(); ++i) {  // the first is `options`
    const int64_t peak = best.peak.use.total();
    if (peak <= limit) break;
    Plan plan = MakePlan(graph, backend, batch, alternatives[i]);
    if (plan.peak.use.total() >= peak) continue;
    rejected.push_back(StrCat(DescribeChoice(best), ": ", FormatBytes(peak)));
    best = std::move(plan);
  }
  best.rejected = std::move(rejected);
  return best;
}

void RequireFits(Graph& graph, Backend& backend, const Plan& plan, const PlanOptions& options,
                 int64_t limit, const std::string& place) {
  const int64_t needed = plan.peak.use.total();
  if (limit == 0 || needed <= limit) return;
  const int64_t batch = LargestBatch(graph, backend, limit, options);
  throw Error(ErrorKind::MEMORY,
              StrCat("training with a batch of ", plan.batch, " needs at least about ",
                     FormatBytes(needed), " (at ", plan.peak.where, ", ", DescribeChoice(plan),
                     "), the memory limit is ", FormatBytes(limit)),
              place,
              batch > 0
                  ? StrCat("the largest batch that fits is ", batch)
                  : "not even a batch of 1 fits; `encke summary` shows what takes the memory");
}

std::string DescribeChoice(const Plan& plan) {
  const int64_t slice = plan.smallest_slice();
  const std::string slices =
      slice == plan.batch ? "the batch at once" : StrCat("slices of ", slice, " and more samples");
  if (!plan.options.compress) return slices;
  std::set<std::string> codecs;
  for (const SavedPolicy& policy : plan.options.policies) codecs.insert(policy.codec);
  std::string names;
  for (const std::string& codec : codecs) names += (names.empty() ? "" : " and ") + codec;
  const size_t twice = plan.rematerialized.size();
  const std::string made =
      twice == 0 ? "" : StrCat(", ", twice, " inputs of batch norms made twice");
  const size_t once = plan.decoded_once.size();
  const std::string decoded = once == 0 ? "" : StrCat(", ", once, " saved values decoded once");
  const bool offloaded = plan.predicted_offloaded_bytes() > 0;
  const int segments = plan.options.recompute_segments;
  const std::string kept = segments > 0 ? StrCat("about ", segments, " segments computed again")
                                        : StrCat("codec ", names);
  return StrCat(slices, ", ", kept, made, decoded, offloaded ? ", saved values offloaded" : "");
}

}  // namespace encke
