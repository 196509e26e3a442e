#include "engine/graph/plan_choice.h"

#include <algorithm>
#include <set>
#include <utility>

#include "engine/core/error.h"
#include "engine/core/units.h"

namespace encke {
namespace {

constexpr int64_t kGreatestSlice = 64 << 20;  // bytes of a layer's tensors, where slicing begins
constexpr int64_t kMostLarger = 64;           // times the usual size
constexpr int64_t kLeastSlice = 1 << 20;      // below, slices of one sample are reached
constexpr double kMoreTwice = 0.15;           // PlanOptions::rematerialize where it must be
constexpr int kSegments[] = {16, 8, 4};       // the more, the less is computed at a time

// `options` with slices of more than the usual size, the largest first.
std::vector<PlanOptions> WithLargerSlices(const PlanOptions& options) {
  std::vector<PlanOptions> alternatives;
  for (int64_t times = kMostLarger; times > 1; times /= 2) {
    alternatives.push_back(options);
    alternatives.back().slice_bytes *= times;
  }
  return alternatives;
}

// `options` with slices of falling size, all smaller.
void AddSmallerSlices(const PlanOptions& options, std::vector<PlanOptions>* alternatives) {
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

// Of the alternatives, in their order.
Plan FirstThatFits(Graph& graph, Backend& backend, int64_t batch,
                   const std::vector<PlanOptions>& alternatives, int64_t limit) {
  Plan best = MakePlan(graph, backend, batch, alternatives[0]);
  std::vector<std::string> rejected;
  for (size_t i = 1; i < alternatives.size(); ++i) {
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

}  // namespace

std::vector<PlanOptions> PlanAlternatives(const PlanOptions& options) {
  if (!options.compress) return {options};
  std::vector<PlanOptions> alternatives = {options};
  PlanOptions dense = WithPolicies(options, [](SavedPolicy* policy) {
    if (policy->codec == "fast") *policy = PolicyOf("auto", policy->tier);
  });
  dense.assumed_ratio *= kDenseOverFast;
  const bool denser = dense.policies != options.policies;
  // Where larger slices are faster, smaller ones cost more than the denser codec.
  if (denser && options.larger_slices) alternatives.push_back(dense);
  AddSmallerSlices(options, &alternatives);
  if (denser && !options.larger_slices) alternatives.push_back(dense);
  if (denser) AddSmallerSlices(dense, &alternatives);
  // From here on with the smallest slices.
  PlanOptions least = alternatives.back();
  least.rematerialize = std::max(least.rematerialize, kMoreTwice);
  if (options.rematerialize > 0) alternatives.push_back(least);
  least = WithPolicies(alternatives.back(), [](SavedPolicy* policy) {
    if (policy->tier == Tier::MEMORY) policy->tier = Tier::OFFLOADED;
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
  if (limit == 0) return MakePlan(graph, backend, batch, options);
  std::vector<PlanOptions> alternatives = PlanAlternatives(options);
  std::vector<PlanOptions> roomy;  // what is free need not be saved
  if (options.compress && options.larger_slices) roomy = WithLargerSlices(options);
  if (options.compress && options.rematerialize > 0) roomy.push_back(options);
  for (PlanOptions& alternative : roomy) alternative.rematerialize = 0;
  alternatives.insert(alternatives.begin(), roomy.begin(), roomy.end());
  for (PlanOptions& alternative : alternatives) alternative.memory_limit = limit;
  return FirstThatFits(graph, backend, batch, alternatives, limit);
}

int64_t LargestBatch(Graph& graph, Backend& backend, int64_t bytes, const PlanOptions& options) {
  std::vector<PlanOptions> alternatives = PlanAlternatives(options);
  for (PlanOptions& alternative : alternatives) alternative.save_time = false;
  const auto need = [&](int64_t batch) {
    return FirstThatFits(graph, backend, batch, alternatives, bytes).peak.use.total();
  };
  if (need(1) > bytes) return 0;
  // The need grows with the batch, almost linearly but where the choice goes on to another plan.
  int64_t fits = 1, fails = 0;
  int64_t fits_need = need(1), guess = 2;
  constexpr int64_t kLargest = int64_t{1} << 20;
  while (fails == 0 || fails - fits > 1) {
    const int64_t guess_need = need(guess);
    if (guess_need > bytes) {
      fails = guess;
    } else {
      const int64_t slope = std::max<int64_t>((guess_need - fits_need) / (guess - fits), 1);
      fits = guess;
      fits_need = guess_need;
      if (fits >= kLargest) return kLargest;
      guess = fits + std::max<int64_t>((bytes - fits_need) / slope, 1);
    }
    const int64_t middle = fails > 0 ? (fits + fails) / 2 : guess;
    if (fails > 0 && (guess <= fits || guess >= fails)) guess = middle;
    guess = std::min(guess, kLargest);
    if (guess == fits) ++guess;
  }
  return fits;
}

void RequireFits(Graph& graph, Backend& backend, const Plan& plan, const PlanOptions& options,
                 int64_t limit, const std::string& place) {
  const int64_t needed = plan.peak.use.total();
  const int64_t most = limit > 0 ? limit : backend.allocator().capacity();
  if (most == 0 || needed <= most) return;
  const int64_t batch = LargestBatch(graph, backend, most, options);
  throw Error(
      ErrorKind::MEMORY,
      StrCat("training with a batch of ", plan.batch, " needs at least about ", FormatBytes(needed),
             " (at ", plan.peak.where, ", ", DescribeChoice(plan),
             limit > 0 ? "), the memory limit is " : "), this machine has ", FormatBytes(most)),
      place,
      batch > 0 ? StrCat("the largest batch that fits is ", batch)
                : "not even a batch of 1 fits; `encke summary` shows what takes the memory");
}

std::string DescribeChoice(const Plan& plan) {
  const int64_t slice = plan.smallest_slice();
  const std::string slices =
      slice == plan.batch ? "the batch at once" : StrCat("slices of ", slice, " and more samples");
  if (!plan.options.compress) return slices;
  std::set<std::string> codecs;
  for (const SavedPolicy& policy : plan.options.policies) codecs.insert(NameOf(policy));
  std::string names;
  for (const std::string& codec : codecs) names += (names.empty() ? "" : " and ") + codec;
  const size_t twice = plan.rematerialized.size() + plan.rematerialized_gradients.size();
  const std::string made =
      twice == 0 ? "" : StrCat(", ", twice, " inputs and gradients of batch norms made twice");
  const size_t whole = plan.uncompressed.size();
  const std::string uncompressed =
      whole == 0 ? "" : StrCat(", ", whole, " saved values not compressed");
  const size_t once = plan.decoded_once.size();
  const size_t parts = plan.held_samples.size();
  std::string decoded;
  if (once > 0) decoded = StrCat(", ", once, " saved values decoded once");
  if (parts > 0) decoded += StrCat(once > 0 ? " and" : ",", " parts of ", parts);
  if (parts > 0 && once == 0) decoded += " saved values decoded once";
  const bool offloaded = plan.predicted_offloaded_bytes() > 0;
  const int segments = plan.options.recompute_segments;
  const std::string kept = segments > 0 ? StrCat("about ", segments, " segments computed again")
                                        : StrCat("codec ", names);
  return StrCat(slices, ", ", kept, made, uncompressed, decoded,
                offloaded ? ", saved values offloaded" : "");
}

}  // namespace encke
