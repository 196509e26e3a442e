#include "engine/graph/plan_choice.h"

#include <set>
#include <utility>

#include "engine/core/error.h"
#include "engine/core/units.h"

namespace encke {
namespace {

constexpr int64_t kGreatestSlice = 64 << 20;  // bytes of a layer's tensors, where slicing begins
constexpr int64_t kLeastSlice = 1 << 20;      // below, slices of one sample are reached
constexpr double kDenseOverFast = 1.4;        // ratio (doc/results/codec.md)

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

}  // namespace

std::vector<PlanOptions> PlanAlternatives(const PlanOptions& options) {
  std::vector<PlanOptions> alternatives;
  if (!options.compress) return {options};
  AddSlices(options, &alternatives);
  PlanOptions dense = options;
  for (SavedPolicy& policy : dense.policies) {
    if (policy.codec == "fast") policy.codec = "dense";
  }
  if (dense.policies != options.policies) {
    dense.assumed_ratio *= kDenseOverFast;
    AddSlices(dense, &alternatives);
  }
  return alternatives;
}

Plan ChoosePlan(Graph& graph, Backend& backend, int64_t batch, const PlanOptions& options,
                int64_t limit) {
  Plan best = MakePlan(graph, backend, batch, options);
  if (limit == 0) return best;
  for (const PlanOptions& alternative : PlanAlternatives(options)) {
    if (best.peak.use.total() <= limit) break;
    Plan plan = MakePlan(graph, backend, batch, alternative);
    if (plan.peak.use.total() < best.peak.use.total()) best = std::move(plan);
  }
  return best;
}

void RequireFits(Graph& graph, Backend& backend, const Plan& plan, int64_t limit,
                 const std::string& place) {
  const int64_t needed = plan.peak.use.total();
  if (limit == 0 || needed <= limit) return;
  const int64_t batch = LargestBatch(graph, backend, limit, plan.options);
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
  return StrCat(slices, ", codec ", names, made);
}

}  // namespace encke
