#include "engine/graph/plan.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <set>
#include <utility>

#include "engine/core/error.h"
#include "engine/graph/plan_internal.h"

namespace encke {
namespace {

// Of the room beside the peak, for what saves time, where not all of it can be used once buffers
// are placed: tried in turn. Then halves of what could be chosen and was not.
constexpr double kShares[] = {0.9, 0.75, 0.5};
constexpr int kTries = 12;
// Likewise for parts of values, and how many of these are tried on their own.
constexpr double kPartShares[] = {1, 0.75, 0.5, 0.25};
constexpr size_t kPartTries = 24;
// Shares of what is held beside parameters and the like by which the peak has to fall: whatever it
// costs, and for all the arithmetic that may be spent.
constexpr double kWorth = 0.01, kPrice = 0.1;
// Steps with so much of the peak are taken on together.
constexpr double kNearlyPeak[] = {0.97, 0.98, 0.95};

// What the pool takes for its work, on one slice of a value at a time, as it was stored.
void AskPool(const Graph& graph, const Backend& backend, Plan* plan) {
  const DType dtype = plan->options.compute;
  plan->pool_scratch_bytes = 0;
  for (const PlanSection& section : plan->sections) {
    for (int s = section.first; s < section.end; ++s) {
      const PlanStep& step = plan->steps[s];
      if (step.kind != PlanStep::Kind::STORE || !plan->saved[step.saved].encoded()) continue;
      SavedValue& saved = plan->saved[step.saved];
      const Shape slice = graph.values[saved.value].shape.WithBatch(section.samples);
      const Tier tier = plan->options.spill_above > 0 ? Tier::OFFLOADED : saved.tier;  // may be
      const int64_t scratch =
          backend.PoolScratchBytes(slice, dtype, tier, saved.codec, saved.exact);
      plan->pool_scratch_bytes = std::max(plan->pool_scratch_bytes, scratch);
      const int64_t stored = saved.predicted_bytes * section.samples / plan->batch;
      saved.room_bytes = std::max<int64_t>(backend.PoolRoomBytes(slice, dtype) - stored, 0);
    }
  }
}

bool Sliced(const Plan& plan) { return plan.smallest_slice() < plan.batch; }

// Where plans are made: the graph, with shapes of the plan's batch, and the device.
struct Setting {
  Graph& graph;
  Backend& backend;
};

// With steps, places and a prediction, from what is saved and rematerialized. Placed first as
// `like` is, if given; a peak of `enough` will do.
Plan Completed(Plan plan, const Setting& setting, const Plan* like = nullptr,
               std::optional<int64_t> enough = {}) {
  internal::LeaveUncompressed(setting.graph, &plan);
  internal::ChooseProbes(setting.graph, &plan);
  internal::WriteProgram(setting.graph, &plan);
  internal::FusePasses(setting.graph, &plan);
  internal::PlanWorkspaces(&setting.graph, &setting.backend, &plan);
  AskPool(setting.graph, setting.backend, &plan);
  const int64_t beside = internal::HeldThroughout(setting.graph, plan);
  if (enough) *enough -= beside;
  internal::PlaceBuffers(&plan, plan.options.compress, like, enough);
  internal::PredictPeak(setting.graph, &plan);
  return plan;
}

// Whether a plan's peak is lower than another's by so much that it is worth the arithmetic: the
// more of it may be spent, the less it has to bring.
bool IsLower(const Plan& plan, const Plan& than, const Setting& setting) {
  const auto twice = [&](const Plan& p) { return internal::ShareMadeTwice(setting.graph, p); };
  const double spent = twice(plan) - twice(than);
  const double worth = kWorth + kPrice / plan.options.rematerialize * std::max(spent, 0.0);
  const int64_t peak = than.peak.use.total();
  const auto planned = static_cast<double>(peak - internal::HeldThroughout(setting.graph, than));
  return static_cast<double>(plan.peak.use.total()) < static_cast<double>(peak) - worth * planned;
}

// Has `plan` compute twice, or later, what `other` does.
void RepeatAs(const Plan& other, Plan* plan) {
  plan->rematerialized = other.rematerialized;
  plan->rematerialized_gradients = other.rematerialized_gradients;
  plan->late_branches = other.late_branches;
}

// The plan with what is computed twice or later, more and more of it, as it was when its peak was
// lowest. What did not help on its own stays where something after it does. Budgets end before all
// that might help is tried, so that it counts what is tried together: several ways are.
Plan SpareMemory(const Plan& plan, const Setting& setting) {
  const Plan first = Completed(plan, setting);
  Plan best = first;
  if (!Sliced(first)) return best;
  for (const double full : kNearlyPeak) {
    Plan base = plan;
    for (Plan next = first; internal::Rematerialize(setting.graph, full, &next);) {
      RepeatAs(next, &base);
      next = Completed(base, setting);
      if (IsLower(next, best, setting)) best = next;
    }
  }
  return best;
}

// Bytes that may be used to save time, where the plan takes less.
int64_t SpentAtMost(const PlanOptions& options) {
  return static_cast<int64_t>(kSpentOfLimit * static_cast<double>(options.memory_limit));
}

// A plan that spends what is free below a ceiling: its own peak, or what may be spent.
class Spending {
 public:
  // `plan`: what `best` was made of; both change alike.
  Spending(const Setting& setting, Plan* plan, Plan* best)
      : setting_(setting),
        ceiling_(std::max(best->peak.use.total(), SpentAtMost(plan->options))),
        plan_(plan),
        best_(best) {}

 protected:
  // Bytes that are free, by step: a `share` of them.
  std::vector<int64_t> Room(double share) const {
    std::vector<int64_t> room;
    for (int64_t in_use : best_->predicted_in_use) {
      room.push_back(static_cast<int64_t>(share * static_cast<double>(ceiling_ - in_use)));
    }
    return room;
  }

  // Whether the plan, changed to `with`, stays below the ceiling; if so, it is changed.
  bool Change(Plan with) {
    Plan next = Completed(with, setting_, best_, ceiling_);
    if (next.peak.use.total() > ceiling_) return false;
    *plan_ = std::move(with);
    *best_ = std::move(next);
    return true;
  }

  const Setting& setting_;
  const int64_t ceiling_;
  Plan* const plan_;
  Plan* const best_;
};

// Does to saved values, `plan.*values`, what saves time.
class RoomUse : Spending {
 public:
  RoomUse(const Setting& setting, std::set<int> Plan::*values, Plan* plan, Plan* best)
      : Spending(setting, plan, best), values_(values) {}

  // `choose`: the values, for so much room in the plan; what is taken can leave more than was
  // thought, and then there is another round.
  template <typename Choose>
  void Spend(const Choose& choose) {
    const auto choice = [&](double share) { return WithoutTaken(choose(*best_, Room(share))); };
    while (true) {
      const internal::ValueGroups most = choice(1);
      if (most.empty()) return;
      if (Add(most)) continue;
      std::any_of(std::begin(kShares), std::end(kShares),
                  [&](double share) { return Add(choice(share)); });
      int tries = kTries;
      return AddHalves(WithoutTaken(most), &tries);
    }
  }

 private:
  internal::ValueGroups WithoutTaken(const internal::ValueGroups& chosen) const {
    internal::ValueGroups rest;
    std::copy_if(chosen.begin(), chosen.end(), std::back_inserter(rest),
                 [&](const auto& group) { return (plan_->*values_).count(group[0]) == 0; });
    return rest;
  }

  // Whether all of them can have it together.
  bool Add(const internal::ValueGroups& chosen) {
    if (chosen.empty()) return true;
    Plan with = *plan_;
    for (const auto& group : chosen) (with.*values_).insert(group.begin(), group.end());
    return Change(std::move(with));
  }

  // Where they cannot, halves of them, and halves of these, until there were so many tries.
  void AddHalves(const internal::ValueGroups& chosen, int* tries) {
    if (chosen.size() < 2) return;
    const auto middle = chosen.begin() + static_cast<int64_t>(chosen.size() / 2);
    for (const internal::ValueGroups& half : {internal::ValueGroups(middle, chosen.end()),
                                              internal::ValueGroups(chosen.begin(), middle)}) {
      if (--*tries < 0) return;
      if (!Add(half)) AddHalves(half, tries);
    }
  }

  std::set<int> Plan::*const values_;
};

// Has samples of saved values decoded once, as many as there is room for: all that could be
// together, or fewer of each, then more of one value after the other.
class SampleHolding : Spending {
 public:
  using Spending::Spending;

  void Extend() {
    if (Choice(1).empty()) return;
    for (double share : kPartShares) {
      if (Add(Choice(share))) break;
    }
    std::set<int> tried;
    while (tried.size() < kPartTries) {
      const internal::HeldSamples all = Choice(1);
      const auto next = std::find_if(all.begin(), all.end(), [&](const auto& chosen) {
        return tried.count(chosen.first) == 0;
      });
      if (next == all.end()) return;
      const auto [saved, samples] = *next;
      tried.insert(saved);
      if (Add({{saved, samples}})) continue;
      const int64_t half = (Held(saved) + samples + 1) / 2;
      if (half < samples) Add({{saved, half}});
    }
  }

 private:
  internal::HeldSamples Choice(double share) const {
    return internal::ChooseHeldSamples(setting_.graph, *best_, Room(share));
  }

  int64_t Held(int saved) const {
    const auto found = plan_->held_samples.find(saved);
    return found == plan_->held_samples.end() ? 0 : found->second;
  }

  // Whether they can be held together.
  bool Add(const internal::HeldSamples& chosen) {
    Plan with = *plan_;
    for (const auto& [saved, samples] : chosen) with.held_samples[saved] = samples;
    return Change(std::move(with));
  }
};

// Whether saving time is in vain.
bool TooLarge(const Plan& plan) {
  const int64_t limit = plan.options.memory_limit;
  return limit > 0 && plan.peak.use.total() > limit;
}

}  // namespace

const char* NameOf(Keep keep) {
  switch (keep) {
    case Keep::RAW:
      return "raw";
    case Keep::CODEC:
      return "codec";
    case Keep::MASK:
      return "mask";
    case Keep::IMAGE:
      return "image";
    case Keep::REBUILD:
      return "rebuild";
    case Keep::DERIVE:
      return "derive";
  }
  return "?";
}

const char* NameOf(SavedKind kind) {
  static constexpr const char* kNames[kSavedKinds] = {"relu", "norm_input", "value"};
  return kNames[static_cast<int>(kind)];
}

SavedPolicy PolicyOf(const std::string& codec, Tier tier) {
  const bool adaptive = codec == "auto";
  return {adaptive ? "dense" : codec, tier, adaptive};
}

std::string NameOf(const SavedPolicy& policy) { return policy.adaptive ? "auto" : policy.codec; }

SavedKind KindOf(const SavedValue& saved) {
  if (saved.mask || saved.keep == Keep::REBUILD) return SavedKind::RELU;
  if (saved.norm_consumer >= 0) return SavedKind::NORM_INPUT;
  return saved.block_end >= 0 ? SavedKind::RELU : SavedKind::VALUE;
}

int64_t Plan::raw_saved_bytes() const {
  int64_t sum = 0;
  for (const SavedValue& value : saved) sum += value.raw_bytes;
  for (const SavedState& state : states) sum += state.raw_bytes;
  return sum;
}

int64_t Plan::predicted_saved_bytes() const {
  int64_t sum = 0;
  for (const SavedValue& value : saved) sum += value.predicted_bytes;
  for (const SavedState& state : states) sum += state.predicted_bytes;
  return sum;
}

int64_t Plan::smallest_slice() const {
  int64_t samples = batch;
  for (const PlanSection& section : sections) samples = std::min(samples, section.samples);
  return samples;
}

int64_t Plan::predicted_offloaded_bytes() const {
  int64_t offloaded = 0, memory = 0;
  for (const SavedValue& value : saved) {
    if (value.keep != Keep::CODEC) continue;
    (value.tier == Tier::OFFLOADED ? offloaded : memory) += value.predicted_bytes;
  }
  return offloaded + memory - internal::BytesInMemory(options, memory);
}

Plan MakePlan(Graph& graph, Backend& backend, int64_t batch, const PlanOptions& options) {
  ENCKE_CHECK(batch > 0, batch);
  Plan plan;
  plan.batch = batch;
  plan.options = options;
  // Batches that wait do so in host memory.
  if (!backend.allocator().device().is_cpu()) plan.options.batches_held = 1;
  plan.prefetch = backend.PoolWorksAside();
  if (options.eliminates()) internal::RewriteGraph(&graph);
  graph.InferShapes(batch);
  if (options.training) internal::ChooseSaved(graph, &plan);
  const Setting setting = {graph, backend};
  Plan best = SpareMemory(plan, setting);
  if (Sliced(best) && options.rematerialize > 0 && options.compress && options.training) {
    for (const internal::ShortBranch& branch : internal::FindShortBranches(graph)) {
      plan.late_branches.insert(branch.nodes[0]);
    }
    if (plan.late_branches != best.late_branches) {
      Plan late = SpareMemory(plan, setting);
      if (IsLower(late, best, setting)) best = std::move(late);
    }
  }
  RepeatAs(best, &plan);
  if (options.compress) {
    internal::ImprovePlacement(&best);
    internal::PredictPeak(graph, &best);
  }
  if (!options.save_time || TooLarge(best)) return best;
  const bool spends = best.peak.use.total() < SpentAtMost(options);
  if (spends && options.compress && options.training) {
    const auto choose = [&](const Plan& made, std::vector<int64_t> room) {
      return internal::ChooseUncompressed(graph, made, std::move(room));
    };
    RoomUse(setting, &Plan::uncompressed, &plan, &best).Spend(choose);
  }
  if (Sliced(best) && options.training) {
    const auto choose = [&](const Plan& made, std::vector<int64_t> room) {
      return internal::ChooseDecodedOnce(graph, made, std::move(room));
    };
    RoomUse(setting, &Plan::decoded_once, &plan, &best).Spend(choose);
    SampleHolding(setting, &plan, &best).Extend();
  }
  if (plan.prefetch && options.training) {
    RoomUse(setting, &Plan::lingering, &plan, &best).Spend(internal::ChooseLingering);
  }
  return best;
}

}  // namespace encke
