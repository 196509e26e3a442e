// A pool that works beside the computation: it reads what it is given as late, and writes what it
// is asked for as early, as it may. The gradients are those of a pool that does everything at once.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "engine/backend/cpu/cpu_backend.h"
#include "tests/engine/graph/test_networks.h"
#include "tests/engine/graph/trainee.h"

namespace encke {
namespace {

struct Calls {
  int late = 0;   // values read when the computation was about to overwrite them
  int early = 0;  // decoded by a Prefetch that a Get has asked for
};

class LateStore : public ActivationStore {
 public:
  LateStore(std::unique_ptr<ActivationStore> store, Calls* calls)
      : store_(std::move(store)), calls_(calls) {}

  StoredValue Put(int id, const Tensor& value, const PutOptions& options) override {
    const std::string& name = names_.emplace(id, options.name).first->second;
    EXPECT_EQ(name, options.name) << "an id means one value, also when others are not stored";
    const StoredValue stored = store_->Put(id, value, options);  // for what it says
    if (options.tier == Tier::IN_PLACE) return stored;
    store_->Release(id);
    unread_[id] = {value, options};
    unread_[id].options.prior = nullptr;
    return stored;
  }
  Tensor Get(int id, int64_t first, int64_t count, const Tensor& scratch) override {
    Read(id);
    const auto early = early_.find(id);
    const bool there = early != early_.end() && early->second.first == scratch.raw() &&
                       early->second.second == std::pair(first, count);
    if (early != early_.end()) early_.erase(early);
    calls_->early += there;
    return there ? scratch : store_->Get(id, first, count, scratch);
  }
  void Release(int id) override {
    if (unread_.erase(id) == 0) store_->Release(id);
  }
  void Prefetch(int id, int64_t first, int64_t count, const Tensor& scratch) override {
    Read(id);
    store_->Get(id, first, count, scratch);
    early_[id] = {scratch.raw(), {first, count}};
  }
  void BeforeOverwrite(int id) override { calls_->late += Read(id); }
  int64_t stored_bytes() const override { return store_->stored_bytes(); }
  int64_t offloaded_bytes() const override { return store_->offloaded_bytes(); }

 private:
  struct Unread {
    Tensor value;
    PutOptions options;
  };

  bool Read(int id) {
    const auto found = unread_.find(id);
    if (found == unread_.end()) return false;
    store_->Put(id, found->second.value, found->second.options);
    unread_.erase(found);
    return true;
  }

  std::unique_ptr<ActivationStore> store_;
  Calls* calls_;
  std::map<int, std::string> names_;  // by id, over all iterations
  std::map<int, Unread> unread_;
  std::map<int, std::pair<void*, std::pair<int64_t, int64_t>>> early_;  // where, which samples
};

class LateBackend : public cpu::CpuBackend {
 public:
  explicit LateBackend(Calls* calls) : calls_(calls) {}
  bool PoolWorksAside() const override { return true; }
  std::unique_ptr<ActivationStore> NewActivationStore(const StoreOptions& options) override {
    return std::make_unique<LateStore>(CpuBackend::NewActivationStore(options), calls_);
  }

 private:
  Calls* calls_;
};

// But where the two plans differ in what is made twice: values are then stored in other sections,
// with tables and centroids of other slices.
TEST(PoolAsideTest, GradientsDoNotDependOnWhenItWorks) {
  int64_t rest = 0;  // what is prefetched for buffers that hold samples
  for (int which = 0; which < kTestNetworks; ++which) {
    for (int64_t slice : {0, 1, 4}) {
      for (double twice : {0.0, 0.05}) {
        SCOPED_TRACE(StrCat(which, " ", slice, " ", twice));
        PlanOptions plan = InSlices(slice);
        plan.rematerialize = twice;
        Calls calls;
        Trainee at_once(TestNetwork(which), plan);
        Trainee aside(TestNetwork(which), plan, 0.05, 6, std::make_unique<LateBackend>(&calls));
        const Plan &a = aside.executor().plan(), &b = at_once.executor().plan();
        const bool alike = a.rematerialized == b.rematerialized &&
                           a.rematerialized_gradients == b.rematerialized_gradients &&
                           a.late_branches == b.late_branches;
        EXPECT_TRUE(alike || twice > 0);
        for (int64_t iteration : {1, 2}) {
          const std::vector<float> gradients = aside.Gradients({}, iteration);
          const std::vector<float> expected = at_once.Gradients({}, iteration);
          EXPECT_LE(RelativeDifference(gradients, expected), alike ? 0.0 : 0.05);
        }
        EXPECT_GT(calls.late, 0);
        EXPECT_GT(calls.early, 0);
        rest += std::count_if(a.steps.begin(), a.steps.end(), [](const PlanStep& step) {
          return step.kind == PlanStep::Kind::PREFETCH && step.rest;
        });
      }
    }
  }
  EXPECT_GT(rest, 0);
}

// A block's input is derived, then kept, then all is kept exactly; and a smaller batch.
TEST(PoolAsideTest, DecisionsMayChangeFromIterationToIteration) {
  for (int64_t slice : {0, 1}) {
    Calls calls;
    Trainee at_once(BottleneckNetwork(), InSlices(slice));
    Trainee aside(BottleneckNetwork(), InSlices(slice), 0.05, 6,
                  std::make_unique<LateBackend>(&calls));
    for (Trainee* trainee : {&at_once, &aside}) {
      trainee->Gradients({}, 1);
      ParameterNamed(trainee->executor(), "block2.conv3.bn.weight")[0] = 0;
    }
    EXPECT_EQ(aside.Gradients({}, 2), at_once.Gradients({}, 2));
    TrainOptions exact;
    exact.exact = true;
    EXPECT_EQ(aside.Gradients(exact, 3), at_once.Gradients(exact, 3));
    std::vector<std::vector<float>> of_part;
    for (Trainee* trainee : {&at_once, &aside}) {
      const Batch& batch = trainee->batch();
      trainee->executor().Train({batch.images.Slice(0, 5), batch.labels.Slice(0, 5)}, 4);
      of_part.push_back(Flatten(trainee->executor().gradients()));
    }
    EXPECT_EQ(of_part[0], of_part[1]);
  }
}

using Kind = PlanStep::Kind;

Plan PlanFor(Backend& backend, Graph graph, int64_t slice,
             double rematerialize = PlanOptions().rematerialize) {
  PlanOptions options = InSlices(slice);
  options.batches_held = 1;
  options.rematerialize = rematerialize;
  return MakePlan(graph, backend, 6, options);
}

bool Computes(const PlanStep& step) {
  return step.kind == Kind::FORWARD || step.kind == Kind::GATHER_FORWARD;
}

// Values that the next step overwrites where they are being encoded.
int OverwrittenAtOnce(const Plan& plan) {
  int count = 0;
  for (size_t s = 0; s + 1 < plan.steps.size(); ++s) {
    const PlanStep &store = plan.steps[s], &next = plan.steps[s + 1];
    const bool encoded = store.kind == Kind::STORE && plan.saved[store.saved].keep == Keep::CODEC;
    count += encoded && next.kind == Kind::FORWARD && next.outputs[0] == store.buffer;
  }
  return count;
}

// The step before stores what its node has read, writing elsewhere; that stays until the node
// behind it.
void ExpectLingering(const Plan& plan, int store) {
  const int buffer = plan.steps[store].buffer;
  const PlanStep& reader = plan.steps[store - 1];
  EXPECT_EQ(reader.kind, Kind::FORWARD);
  EXPECT_EQ(std::count(reader.inputs.begin(), reader.inputs.end(), buffer), 1);
  EXPECT_NE(reader.outputs.at(0), buffer);
  const auto next = std::find_if(plan.steps.begin() + store, plan.steps.end(), Computes);
  EXPECT_GE(plan.buffers[buffer].last, next - plan.steps.begin());
}

TEST(PoolAsideTest, WhatWouldBeOverwrittenLingersWhereThereIsRoom) {
  Calls calls;
  LateBackend aside(&calls);
  cpu::CpuBackend at_once;
  for (int64_t slice : {0, 1, 2}) {
    int lingering = 0;
    for (int which = 0; which < kTestNetworks; ++which) {
      SCOPED_TRACE(StrCat(which, " ", slice));
      const Plan plan = PlanFor(aside, TestNetwork(which), slice);
      // What is made twice is overwritten nowhere, and the two need not make the same values twice:
      // what is decoded ahead may move the peak. So they are compared without.
      const Plan once = PlanFor(aside, TestNetwork(which), slice, 0);
      const Plan usual = PlanFor(at_once, TestNetwork(which), slice, 0);
      EXPECT_TRUE(usual.lingering.empty());
      EXPECT_EQ(OverwrittenAtOnce(once) + static_cast<int>(once.lingering.size()),
                OverwrittenAtOnce(usual));
      for (int s = 0; s < static_cast<int>(plan.steps.size()); ++s) {
        const PlanStep& step = plan.steps[s];
        const bool stores = step.kind == Kind::STORE && plan.lingering.count(step.saved) > 0;
        if (stores) ExpectLingering(plan, s);
        lingering += stores;
      }
    }
    EXPECT_GT(lingering, 3);
  }
}

// Needs more room to encode a value than any arena has.
class RoomyBackend : public cpu::CpuBackend {
 public:
  int64_t PoolRoomBytes(const Shape& value, DType) const override { return Room(value.elements()); }
  static int64_t Room(int64_t elements) { return elements * 128; }
};

TEST(PoolAsideTest, RoomToEncodeIsPlannedFor) {
  RoomyBackend roomy;
  cpu::CpuBackend usual;
  for (int which = 0; which < kTestNetworks; ++which) {
    for (int64_t slice : {0, 2}) {
      SCOPED_TRACE(StrCat(which, " ", slice));
      Graph graph = TestNetwork(which);
      PlanOptions options = InSlices(slice);
      options.batches_held = 1;
      const Plan plan = MakePlan(graph, roomy, 6, options);
      const Plan without = PlanFor(usual, TestNetwork(which), slice);
      EXPECT_GT(plan.peak.use.total(), without.peak.use.total());
      int64_t largest = 0, stored = 0;
      for (const SavedValue& saved : plan.saved) {
        if (saved.keep != Keep::CODEC) continue;
        const int64_t elements = graph.values[saved.value].shape.elements();
        const int64_t samples = slice == 0 ? 6 : slice;
        EXPECT_EQ(saved.room_bytes,
                  RoomyBackend::Room(elements * samples / 6) - saved.predicted_bytes * samples / 6);
        largest = std::max(largest, RoomyBackend::Room(elements * samples / 6));
        stored += saved.predicted_bytes;
      }
      EXPECT_GE(plan.pool_bytes, largest);
      EXPECT_LE(plan.pool_bytes, largest + stored);
    }
  }
}

TEST(PoolAsideTest, ThePeakIsStillThePredictedOne) {
  for (int64_t slice : {0, 16}) {
    SCOPED_TRACE(slice);
    Calls calls;
    PlanOptions options = InSlices(slice);
    double ratio = 8;
    for (int round = 0; round < 2; ++round) {
      options.assumed_ratio = ratio;
      Trainee trainee(ResidualNetwork(), options, 0.1, 512, std::make_unique<LateBackend>(&calls));
      EXPECT_FALSE(trainee.executor().plan().lingering.empty());
      for (int64_t iteration = 1; iteration <= 3; ++iteration) trainee.Gradients({}, iteration);
      trainee.ledger().ResetPeak();
      trainee.Gradients({}, 5);
      const Executor& executor = trainee.executor();
      ratio = static_cast<double>(executor.raw_saved_bytes()) /
              static_cast<double>(executor.stored_bytes());
      if (round == 0) continue;
      EXPECT_NEAR(static_cast<double>(executor.plan().peak.use.in_use()) /
                      static_cast<double>(trainee.ledger().Peak().in_use()),
                  1.0, 0.1);
    }
  }
}

TEST(PoolAsideTest, DecodesAheadWhatADerivationReads) {
  Calls calls;
  LateBackend aside(&calls);
  for (int64_t slice : {0, 1}) {
    SCOPED_TRACE(slice);
    const Plan plan = PlanFor(aside, BottleneckNetwork(), slice);
    ASSERT_FALSE(plan.block_ends.empty());
    std::set<int> foreseen, derived;  // block ends
    for (const PlanStep& step : plan.steps) {
      if (step.kind == Kind::PREFETCH && step.only_for >= 0) foreseen.insert(step.only_for);
      if (step.kind == Kind::DERIVE) derived.insert(plan.saved[step.saved].block_end);
    }
    EXPECT_FALSE(foreseen.empty());
    EXPECT_TRUE(std::includes(derived.begin(), derived.end(), foreseen.begin(), foreseen.end()));
  }
}

}  // namespace
}  // namespace encke
