// Probes: what they teach of the noise in a weight gradient is what audits measure, where the
// formula is right and where it is not.
#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "engine/core/rng.h"
#include "engine/graph/executor.h"
#include "layers/average_pool.h"
#include "layers/convolution.h"
#include "layers/fully_connected.h"
#include "layers/softmax_cross_entropy.h"
#include "tests/engine/graph/test_networks.h"
#include "tests/engine/graph/trainee.h"

namespace encke {
namespace {

constexpr int64_t kBatch = 6;
constexpr int kClasses = 5, kPixels = 12, kChannels = 64;

std::unique_ptr<Layer> Conv(int64_t out, int64_t kernel, bool bias, int64_t groups) {
  ConvolutionOptions options;
  options.out_channels = out;
  options.bias = bias;
  options.window.groups = groups;
  options.window.kernel_h = options.window.kernel_w = kernel;
  options.window.pad_top = options.window.pad_bottom = options.window.pad_left =
      options.window.pad_right = kernel / 2;
  return NewConvolution(options);
}

// A 1x1 convolution makes the value that `probed` reads; what `probed` gives is averaged over its
// positions, so that its output gradient is one number for each sample and channel.
Graph Network(int64_t groups) {
  GraphBuilder builder("probed", {1, kPixels, kPixels, 3}, kClasses);
  int x = builder.Add("maker", "", Conv(kChannels, 1, true, 1), {0});
  x = builder.Add("probed", "", Conv(8, 3, true, groups), {x});
  x = builder.Add("pool", "", NewGlobalAveragePool(), {x});
  FullyConnectedOptions fc;
  fc.out_features = kClasses;
  x = builder.Add("fc", "", NewFullyConnected(fc), {x});
  return builder.Finish(x, NewSoftmaxCrossEntropy());
}

Batch RandomBatch(Allocator& allocator, uint64_t seed = 5) {
  return MakeBatch(allocator, {1, kPixels, kPixels, 3}, kBatch, kClasses, seed);
}

// Groups of the probed convolution, and bytes of a slice (0: the batch is not sliced).
class ProbeTest : public testing::TestWithParam<std::pair<int64_t, int64_t>> {
 protected:
  ProbeTest() : backend_(NewBackend({})) { Start(5); }

  void Start(uint64_t seed) {
    batch_ = RandomBatch(backend_->allocator(), seed);
    ExecutorOptions options;
    options.controller.warmup = 0;
    options.controller.tolerance = 1e-3;  // the output gradients are alike, so little is enough
    options.plan.batches_held = 1;
    options.plan.slice_bytes = GetParam().second;
    executor_ = std::make_unique<Executor>(Network(GetParam().first), *backend_, options);
    executor_->InitializeParameters();
    executor_->Prepare(kBatch);
  }

  float* ParameterOf(int node, int index) {
    return executor_->parameters()[executor_->graph().nodes[node].parameters[index]].data<float>();
  }

  // Probes for some iterations, then an audit: its row of the layer `probed`.
  ActivationRecord Audited() {
    constexpr int64_t kIterations = 20;
    for (int64_t i = 1; i <= kIterations; ++i) EXPECT_TRUE(executor_->Train(batch_, i).finite);
    TrainOptions options;
    options.audit = Audit::ALL;
    EXPECT_TRUE(executor_->Train(batch_, kIterations + 1, options).finite);
    for (const ActivationRecord& record : executor_->records()) {
      if (record.kind == "audit" && record.consumer == "probed") return record;
    }
    ADD_FAILURE() << "no audit";
    return {};
  }

  std::unique_ptr<Backend> backend_;
  Batch batch_;
  std::unique_ptr<Executor> executor_;
};

// One batch has few independent output gradients, so a single one may be a third off; the means'
// standard deviation is 0.03.
TEST_P(ProbeTest, WhiteErrorsNeedNoCorrection) {
  constexpr int kSeeds = 15;
  double correction = 0, quotient = 0;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    Start(seed);
    const ActivationRecord audit = Audited();
    correction += audit.correction / kSeeds;
    quotient += audit.measured_sigma / audit.predicted_sigma / kSeeds;
  }
  EXPECT_NEAR(correction, 1.0, 0.1);
  EXPECT_NEAR(quotient, 1.0, 0.1);
}

// Each channel has one value, and so one error, at all pixels of all samples.
TEST_P(ProbeTest, CoherentErrorsAreLearnt) {
  float* weights = ParameterOf(0, 0);
  for (int i = 0; i < kChannels * 3; ++i) weights[i] = 0.0f;
  float* biases = ParameterOf(0, 1);
  Rng rng(6, RngStream::TEST);
  for (int c = 0; c < kChannels; ++c) biases[c] = static_cast<float>(1 + rng.Uniform());
  const ActivationRecord audit = Audited();
  EXPECT_GT(audit.correction, 4.0) << "the formula alone is far off";
  EXPECT_GT(audit.measured_sigma / audit.predicted_sigma, 0.7);
  EXPECT_LT(audit.measured_sigma / audit.predicted_sigma, 1.4);
}

constexpr int64_t kTwoSamples = 2 * 4 * kPixels * kPixels * (kChannels + 8);
INSTANTIATE_TEST_SUITE_P(GroupsAndSlices, ProbeTest,
                         testing::Values(std::make_pair(1, 0), std::make_pair(2, 0),
                                         std::make_pair(1, kTwoSamples)));

// The errors of one value at all pixels add up as far as the output gradients agree, which changes
// with the batch: an audit on other labels is predicted as well.
TEST_P(ProbeTest, CoherentErrorsFollowTheBatch) {
  float* weights = ParameterOf(0, 0);
  for (int i = 0; i < kChannels * 3; ++i) weights[i] = 0.0f;
  float* biases = ParameterOf(0, 1);
  Rng rng(6, RngStream::TEST);
  for (int c = 0; c < kChannels; ++c) biases[c] = static_cast<float>(1 + rng.Uniform());
  for (int64_t n = 0; n < kBatch; ++n) batch_.labels.data<int32_t>()[n] = 1;
  for (int64_t i = 1; i <= 20; ++i) EXPECT_TRUE(executor_->Train(batch_, i).finite);
  const double alike = Audited().correction;
  // Gradients of labels that differ cancel.
  for (int64_t n = 0; n < kBatch; ++n) {
    batch_.labels.data<int32_t>()[n] = static_cast<int32_t>(n % kClasses);
  }
  TrainOptions options;
  options.audit = Audit::ALL;
  EXPECT_TRUE(executor_->Train(batch_, 22, options).finite);
  for (const ActivationRecord& record : executor_->records()) {
    if (record.kind != "audit" || record.consumer != "probed") continue;
    EXPECT_LT(record.correction, 0.7 * alike) << "so the last probes' own is no prediction";
    EXPECT_GT(record.measured_sigma / record.predicted_sigma, 0.75);
    EXPECT_LT(record.measured_sigma / record.predicted_sigma, 1.33);
  }
}

// An optimizer step may take several passes; momentum moves once.
TEST(ControllersClockTest, WarmUpCountsUpdatesAndNotPasses) {
  const auto backend = NewBackend({});
  ExecutorOptions options;
  options.controller.warmup = 2;
  options.plan.batches_held = 1;
  Executor executor(Network(1), *backend, options);
  executor.InitializeParameters();
  executor.Prepare(kBatch);
  const Batch batch = RandomBatch(backend->allocator());
  const auto tolerance = [&](int64_t pass, int64_t update) {
    TrainOptions step;
    step.update = update;
    EXPECT_TRUE(executor.Train(batch, pass, step).finite);
    double greatest = 0;
    for (const ActivationRecord& r : executor.records()) greatest = std::max(greatest, r.tolerance);
    return greatest;
  };
  EXPECT_DOUBLE_EQ(tolerance(8, 2), options.controller.tolerance / 2);
  EXPECT_DOUBLE_EQ(tolerance(9, 3), options.controller.tolerance);
}

TEST(ProbePlanTest, EveryReaderHasATurnAndRoom) {
  const auto backend = NewBackend({});
  for (int which : {0, 1}) {
    Graph graph = which == 0 ? ResidualNetwork() : BranchNetwork();
    const Plan plan = MakePlan(graph, *backend, 7, {});
    size_t readers = 0;
    for (const SavedValue& saved : plan.saved) {
      if (saved.lossy()) readers += saved.gradient_consumers.size();
    }
    EXPECT_EQ(plan.probes.size(), readers);
    for (const PlannedProbe& probe : plan.probes) {
      EXPECT_LT(probe.turn, plan.probe_turns);
      EXPECT_GE(probe.channels, 1);
      EXPECT_LE(probe.channels, probe.group_channels);
      const int64_t end = probe.pattern_offset + probe.pattern_bytes;
      EXPECT_LE(probe.gradient_offset + 2 * probe.gradient_bytes, probe.pattern_offset);
      EXPECT_LE(probe.offset + probe.copy_bytes, probe.gradient_offset);
      EXPECT_LE(end, plan.probe_bytes);
      for (const PlannedProbe& other : plan.probes) {
        const bool before = end <= other.offset;
        const bool after = other.pattern_offset + other.pattern_bytes <= probe.offset;
        EXPECT_TRUE(&probe == &other || probe.turn != other.turn || before || after)
            << "two of one turn overlap";
      }
    }
    PlanOptions without;
    without.probe = false;
    EXPECT_EQ(plan.peak.use.total() - MakePlan(graph, *backend, 7, without).peak.use.total(),
              plan.probe_bytes)
        << "the predicted peak holds the probes' memory";
  }
}

// An fc layer may read an image; its channels are then the image's elements.
TEST(ProbeFullyConnectedTest, ReadsImages) {
  const auto backend = NewBackend({});
  GraphBuilder builder("image", {1, kPixels, kPixels, 3}, kClasses);
  const int image = builder.Add("maker", "", Conv(kChannels, 1, true, 1), {0});
  FullyConnectedOptions fc;
  fc.out_features = kClasses;
  const int logits = builder.Add("fc", "", NewFullyConnected(fc), {image});
  ExecutorOptions options;
  options.plan.batches_held = 1;
  options.plan.slice_bytes = 1;
  options.plan.least_slice = 4;
  Executor executor(builder.Finish(logits, NewSoftmaxCrossEntropy()), *backend, options);
  executor.InitializeParameters();
  executor.Prepare(kBatch);
  ASSERT_EQ(executor.plan().probes.size(), 1u);
  EXPECT_EQ(executor.plan().probes[0].group_channels, kPixels * kPixels * kChannels);
  const Batch batch = RandomBatch(backend->allocator());
  for (int64_t iteration = 1; iteration <= 3; ++iteration) {
    EXPECT_TRUE(executor.Train(batch, iteration).finite);
  }
}

}  // namespace
}  // namespace encke
