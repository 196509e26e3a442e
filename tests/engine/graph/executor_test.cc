// The executor: gradients are right, compression changes them no more than it may, and memory is
// what the plan said.
#include "engine/graph/executor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/core/rng.h"
#include "tests/engine/graph/test_networks.h"
#include "tests/engine/graph/trainee.h"

namespace encke {
namespace {

TEST(ExecutorTest, GradientsAgreeWithCentralDifferences) {
  for (int which : {0, 1}) {
    Trainee trainee(which == 0 ? ResidualNetwork() : BranchNetwork(), false);
    Executor& executor = trainee.executor();
    Rng rng(11, RngStream::TEST);
    for (const Tensor& parameter :
         executor.parameters()) {  // away from biases of 0, where ReLUs have kinks
      float* values = parameter.data<float>();
      for (int64_t i = 0; i < parameter.elements(); ++i) {
        values[i] += static_cast<float>(0.03 * std::abs(rng.Normal()));
      }
    }
    trainee.Gradients();
    for (size_t p = 0; p < executor.parameters().size(); ++p) {
      const Tensor& gradient = executor.gradients()[p];
      if (!gradient.defined()) continue;
      const std::vector<float> exact(gradient.data<float>(),
                                     gradient.data<float>() + gradient.elements());
      // Along the gradient itself the slope is its norm; steps are small against kinks of ReLU and
      // max pool.
      double norm = 0;
      for (float g : exact) norm += static_cast<double>(g) * g;
      norm = std::sqrt(norm);
      if (norm < 1e-4) continue;  // a bias before a batch norm, say
      float* w = executor.parameters()[p].data<float>();
      const std::vector<float> kept(w, w + exact.size());
      const auto loss_at = [&](double step) {
        for (size_t i = 0; i < exact.size(); ++i) {
          w[i] = kept[i] + static_cast<float>(step * exact[i] / norm);
        }
        const double loss = executor.Train(trainee.batch(), 1).loss;
        std::copy(kept.begin(), kept.end(), w);
        return loss / static_cast<double>(trainee.batch().size());
      };
      const double step = 1e-3;
      const double slope = (loss_at(step) - loss_at(-step)) / (2 * step);
      EXPECT_NEAR(slope / norm, 1.0, 0.05) << executor.graph().parameters[p].name;
    }
  }
}

TEST(ExecutorTest, ExactStorageGivesTheGradientsOfRaw) {
  for (int which : {0, 1}) {
    const auto network = [&] { return which == 0 ? ResidualNetwork() : BranchNetwork(); };
    Trainee raw(network(), false), encke(network(), true);
    TrainOptions exact;
    exact.exact = true;
    EXPECT_LT(RelativeDifference(encke.Gradients(exact), raw.Gradients()), 1e-6);
  }
}

// Slices of a batch of 6 that have 1 to 4 samples (so that the last one may be shorter), by the
// bytes that a layer may take; and what they do to memory.
TEST(ExecutorTest, SlicesGiveTheGradientsOfTheBatch) {
  for (int which = 0; which < kTestNetworks; ++which) {
    const auto network = [&] { return TestNetwork(which); };
    Trainee whole(network(), false);
    const std::vector<float> expected = whole.Gradients();
    for (bool compress : {false, true}) {
      for (bool eliminate : {false, true}) {
        for (int64_t least : {1, 2, 4}) {
          SCOPED_TRACE(StrCat(which, compress, eliminate, least));
          PlanOptions plan;
          plan.compress = compress;
          plan.eliminate_raw = eliminate;
          plan.slice_bytes = 1;
          plan.least_slice = least;
          Trainee sliced(network(), plan);
          TrainOptions options;
          options.exact = true;
          EXPECT_LT(RelativeDifference(sliced.Gradients(options), expected), 1e-5);
          EXPECT_LT(RelativeDifference(sliced.Gradients(options, 1), expected), 1e-5);
          const Plan& made = sliced.executor().plan();
          EXPECT_EQ(made.smallest_slice(), least == 4 ? 3 : least);
          if (!compress && !eliminate) continue;
          EXPECT_LT(made.arena_bytes, whole.executor().plan().arena_bytes);
        }
      }
    }
  }
}

// Of layers with more weights than work; the last slice brings them, whether gradients accumulate
// or are audited.
TEST(ExecutorTest, DeferredWeightGradientsAreThoseOfTheBatch) {
  for (int which : {0, 1}) {
    const auto network = [&] { return which == 0 ? BranchNetwork() : PreActivationNetwork(); };
    PlanOptions plan;
    plan.slice_bytes = 1;
    Trainee raw(network(), false, 0.05, 2), sliced(network(), plan, 0.05, 2);
    const std::vector<PlanStep>& steps = sliced.executor().plan().steps;
    EXPECT_GT(std::count_if(steps.begin(), steps.end(),
                            [](const PlanStep& step) {
                              return step.kind == PlanStep::Kind::BACKWARD_PARAMETERS;
                            }),
              0);
    TrainOptions options;
    options.exact = true;
    const std::vector<float> expected = raw.Gradients();
    EXPECT_LT(RelativeDifference(sliced.Gradients(options), expected), 1e-5);
    options.audit = Audit::ALL;
    EXPECT_LT(RelativeDifference(sliced.Gradients(options, 1), expected), 1e-5);
    options.accumulate = true;
    TrainOptions accumulate;
    accumulate.accumulate = true;
    EXPECT_LT(RelativeDifference(sliced.Gradients(options, 1), raw.Gradients(accumulate, 1)), 1e-5);
  }
}

// From the inputs of segments alone, whole and in slices; running statistics move once.
TEST(ExecutorTest, RecomputedValuesGiveTheGradientsOfRaw) {
  for (int which : {0, 1}) {
    const auto network = [&] { return which == 0 ? ResidualNetwork() : BranchNetwork(); };
    Trainee raw(network(), false);
    const std::vector<float> expected = raw.Gradients();
    const std::vector<float> parameters = Flatten(raw.executor().parameters());
    for (int segments : {1, 2, 4}) {
      for (int64_t slice : {0, 1, 4}) {
        SCOPED_TRACE(StrCat(which, segments, slice));
        PlanOptions plan;
        plan.recompute_segments = segments;
        plan.slice_bytes = slice > 0 ? 1 : 0;
        plan.least_slice = slice;
        Trainee trainee(network(), plan);
        EXPECT_LT(RelativeDifference(trainee.Gradients(), expected), 1e-5);
        EXPECT_LT(RelativeDifference(Flatten(trainee.executor().parameters()), parameters), 1e-6);
        if (segments > 2) continue;  // so many inputs of segments take as much as the rest
        EXPECT_LT(trainee.executor().stored_bytes(), raw.executor().stored_bytes() / 2);
      }
    }
  }
}

// In a plan for 6 samples, whose tensors trail one another as they do for the whole batch.
TEST(ExecutorTest, SlicesOfSmallerBatches) {
  for (int which = 0; which < kTestNetworks; ++which) {
    Trainee raw(TestNetwork(which), false);
    for (int64_t slice : {2, 3}) {
      Trainee sliced(TestNetwork(which), InSlices(slice));
      TrainOptions exact;
      exact.exact = true;
      for (int64_t samples : {1, 2, 3, 4, 5}) {
        SCOPED_TRACE(StrCat(which, " ", slice, " ", samples));
        const Batch part = sliced.Part(samples);
        EXPECT_EQ(sliced.executor().Evaluate(part).samples, samples);
        if (samples == 1) continue;  // batch norm needs more
        EXPECT_EQ(sliced.executor().Train(part, 1, exact).samples, samples);
        raw.executor().Train(raw.Part(samples), 1);
        EXPECT_LT(RelativeDifference(Flatten(sliced.executor().gradients()),
                                     Flatten(raw.executor().gradients())),
                  1e-5);
      }
      EXPECT_EQ(sliced.executor().store().stored_bytes(), 0);
    }
  }
}

TEST(ExecutorTest, TheErrorOfGradientsFollowsTheTolerance) {
  Trainee raw(ResidualNetwork(), false);
  const std::vector<float> exact = raw.Gradients();
  double last = 0;
  for (double tolerance : {0.001, 0.03, 0.3}) {
    Trainee encke(ResidualNetwork(), true, tolerance);
    encke.Gradients();  // the controller learns
    const double difference = RelativeDifference(encke.Gradients({}, 3), exact);
    EXPECT_GT(difference, last);
    last = difference;
  }
  EXPECT_LT(last, 0.5);
}

TEST(ExecutorTest, SmallerBatchesRunInAPlanForLargerOnes) {
  Trainee trainee(ResidualNetwork(), true);
  const Batch part = trainee.Part(2);
  EXPECT_EQ(trainee.executor().Train(part, 1).samples, 2);
  EXPECT_EQ(trainee.executor().Train(trainee.batch(), 2).samples, 6);
  EXPECT_EQ(trainee.executor().Evaluate(part).samples, 2);
}

TEST(ExecutorTest, RunsAreDeterministic) {
  Trainee a(BranchNetwork(), true), b(BranchNetwork(), true);
  for (int64_t iteration : {1, 2, 3}) {
    EXPECT_EQ(a.Gradients({}, iteration), b.Gradients({}, iteration));
  }
}

TEST(ExecutorTest, AccumulationIsTheSumOfItsParts) {
  Trainee whole(ResidualNetwork(), false);
  TrainOptions half;
  half.loss_scale_count = 12;
  const std::vector<float> once = whole.Gradients(half);
  half.accumulate = true;
  std::vector<float> twice = whole.Gradients(half);
  for (float& g : twice) g *= 0.5f;
  EXPECT_LT(RelativeDifference(twice, once), 1e-6);
}

TEST(ExecutorTest, AccumulatedBatchesShareTheNoiseThatIsAllowed) {
  const auto bound_over_scale = [](float batches) {
    Trainee trainee(ResidualNetwork(), true);
    TrainOptions options;
    options.loss_scale_count = 6 * batches;
    trainee.Gradients(options);
    trainee.Gradients(options, 2);
    for (const ActivationRecord& record : trainee.executor().records()) {
      if (record.layer == "block1.relu1") return record.error_bound;
    }
    return 0.0;
  };
  // The momentum (here the gradient) and dY scale alike with the loss; what remains is 1 /
  // sqrt(batches).
  EXPECT_NEAR(bound_over_scale(4) / bound_over_scale(1), 0.5, 1e-3);
}

// Whole, and in slices, whose tensors trail one another: memory that belongs to two is booked once.
const int64_t kSlices[] = {0, 2};

PlanOptions Options(bool compress, int64_t slice) {
  PlanOptions options = InSlices(slice);
  options.compress = compress;
  return options;
}

bool AnyTrails(const Plan& plan) {
  return std::any_of(plan.buffers.begin(), plan.buffers.end(),
                     [](const PlannedBuffer& buffer) { return buffer.shared_bytes > 0; });
}

TEST(ExecutorTest, NothingStaysInUseAfterAnIteration) {
  for (int which : {0, 1}) {
    for (bool compress : {false, true}) {
      for (int64_t slice : kSlices) {
        Trainee trainee(TestNetwork(which), Options(compress, slice));
        EXPECT_EQ(AnyTrails(trainee.executor().plan()), which == 0 && slice > 0);
        trainee.Gradients();
        trainee.Gradients({}, 2);
        EXPECT_EQ(trainee.ledger().Current().of(MemoryCategory::TRANSIENT), 0);
        EXPECT_EQ(trainee.executor().store().stored_bytes(), 0);
      }
    }
  }
}

double PredictedOverMeasuredPeak(PlanOptions options, double assumed_ratio, double* ratio) {
  options.assumed_ratio = assumed_ratio;
  Trainee trainee(ResidualNetwork(), options, 0.1, 512);
  // Once the pool has given back what only the first iterations needed.
  for (int64_t iteration = 1; iteration <= 5; ++iteration) trainee.Gradients({}, iteration);
  trainee.ledger().ResetPeak();
  trainee.Gradients({}, 6);
  const Executor& executor = trainee.executor();
  int64_t raw = 0, stored = 0;
  for (const ActivationRecord& record : executor.records()) {
    const bool coded = record.codec == "fast" || record.codec == "rebuilt";
    raw += coded ? record.raw_bytes : 0;
    stored += coded ? record.stored_bytes : 0;
  }
  *ratio = static_cast<double>(raw) / static_cast<double>(std::max<int64_t>(stored, 1));
  return static_cast<double>(executor.plan().peak.use.total()) /
         static_cast<double>(trainee.ledger().Peak().total());
}

TEST(ExecutorTest, ThePeakIsThePredictedOne) {
  for (int64_t slice : {0, 64}) {
    double ratio = 1;
    EXPECT_NEAR(PredictedOverMeasuredPeak(Options(false, slice), 1, &ratio), 1.0, 0.05) << slice;
    PlanOptions options = Options(true, slice);
    PredictedOverMeasuredPeak(options, 8, &ratio);
    EXPECT_NEAR(PredictedOverMeasuredPeak(options, ratio, &ratio), 1.0, 0.1)
        << slice << ", at its own ratio";
    const auto backend = NewBackend({});
    Graph graph = ResidualNetwork();
    options.batches_held = 1;
    options.memory_limit = MakePlan(graph, *backend, 512, options).peak.use.total() * 2;
    EXPECT_FALSE(MakePlan(graph, *backend, 512, options).uncompressed.empty());
    EXPECT_NEAR(PredictedOverMeasuredPeak(options, ratio, &ratio), 1.0, 0.1)
        << slice << ", with values that stay as they are";
  }
}

// Where nothing is encoded, all of it is known; not counted what is held all the time, of which the
// optimizer is missing here.
TEST(ExecutorTest, EachStepOfRawHoldsWhatWasPredicted) {
  for (int which = 0; which < kTestNetworks; ++which) {
    for (int64_t slice : kSlices) {
      Trainee trainee(TestNetwork(which), Options(false, slice), 0.05, /*batch=*/7);
      trainee.Gradients();
      const Executor& executor = trainee.executor();
      const std::vector<MemoryUse>& held = executor.memory_trace().steps();
      const std::vector<int64_t>& predicted = executor.plan().predicted_in_use;
      ASSERT_EQ(held.size(), predicted.size());
      for (size_t s = 0; s < held.size(); ++s) {
        EXPECT_EQ(held[s].in_use() - held[0].in_use(), predicted[s] - predicted[0])
            << which << " " << slice << " " << s;
      }
    }
  }
}

// Library calls find their scratch in the arena, those of probes and of a last, smaller slice, too.
TEST(ExecutorTest, ScratchIsAsPlanned) {
  for (int which = 0; which < kTestNetworks; ++which) {
    for (int64_t slice : kSlices) {
      Trainee trainee(TestNetwork(which), Options(true, slice), 0.05, /*batch=*/7);
      for (int64_t iteration = 1; iteration <= 5; ++iteration) trainee.Gradients({}, iteration);
      const Plan& plan = trainee.executor().plan();
      int64_t statistics = 0;
      for (const Parameter& parameter : trainee.executor().graph().parameters) {
        if (!parameter.spec.trained())
          statistics += RoundUp(parameter.spec.shape.elements() * 4, 64);
      }
      EXPECT_GT(plan.probe_bytes, 0);
      EXPECT_LE(trainee.ledger().Current().of(MemoryCategory::WORKSPACE),
                plan.pool_scratch_bytes + RoundUp(plan.probe_bytes, 64) + statistics);
    }
  }
}

TEST(ExecutorTest, TheTraceShowsWhatEachStepHeld) {
  for (int64_t slice : kSlices) {
    Trainee trainee(ResidualNetwork(), Options(true, slice), 0.1, 64);
    trainee.Gradients();
    trainee.ledger().ResetPeak();
    trainee.Gradients({}, 2);
    const Executor& executor = trainee.executor();
    const MemoryTrace trace = executor.memory_trace();
    EXPECT_EQ(trace.iteration(), 2);
    ASSERT_EQ(trace.steps().size(), executor.plan().steps.size());
    ASSERT_EQ(executor.plan().predicted_in_use.size(), executor.plan().steps.size());
    int64_t most = 0;
    for (const MemoryUse& use : trace.steps()) most = std::max(most, use.in_use());
    EXPECT_EQ(most, trainee.ledger().Peak().in_use()) << "no step's peak is missed";
    TrainOptions audit;
    audit.audit = Audit::ALL;
    trainee.Gradients(audit, 3);
    EXPECT_EQ(executor.memory_trace().iteration(), 2) << "audits hold more than training does";
  }
}

TEST(ExecutorTest, CompressionLowersStoredBytesAndThePeak) {
  Trainee raw(ResidualNetwork(), false, 0.1, 64), encke(ResidualNetwork(), true, 0.1, 64);
  for (int64_t iteration : {1, 2, 3}) {
    raw.Gradients({}, iteration);
    encke.Gradients({}, iteration);
  }
  EXPECT_EQ(raw.executor().stored_bytes(), raw.executor().raw_saved_bytes());
  EXPECT_GT(encke.executor().raw_saved_bytes(), 5 * encke.executor().stored_bytes());
  EXPECT_LT(encke.ledger().Peak().in_use(), raw.ledger().Peak().in_use());
}

TEST(ExecutorTest, AuditsMeasureTheNoiseThatTheFormulaPredicts) {
  Trainee trainee(ResidualNetwork(), true, 0.05, 32);
  trainee.Gradients();
  trainee.Gradients({}, 2);
  TrainOptions options;
  options.audit = Audit::ALL;
  trainee.Gradients(options, 3);
  int audits = 0;
  for (const ActivationRecord& record : trainee.executor().records()) {
    if (record.kind != "audit") continue;
    ++audits;
    EXPECT_LE(record.error_over_bound, 1) << record.consumer;
    EXPECT_GT(record.error_over_bound, 0.5) << record.consumer << ": some cell's edge is met";
    ExpectNoiseAsPredicted(record);
  }
  EXPECT_EQ(audits,
            7);  // all convolutions but the first, whose input is kept exactly, and the fc layer
}

// A batch norm's input that is kept for its own sake, more tightly than the convolution behind
// asks, is what the noise comes from: the convolution's own bound would predict a multiple.
TEST(ExecutorTest, NoiseOfRebuiltValuesIsThatOfTheirSource) {
  Trainee trainee(ResidualNetwork(), true, 10.0, 32);
  for (int64_t iteration : {1, 2, 3}) trainee.Gradients({}, iteration);
  TrainOptions options;
  options.audit = Audit::ALL;
  trainee.Gradients(options, 4);
  int rebuilt = 0;
  for (const ActivationRecord& record : trainee.executor().records()) {
    if (record.kind != "audit" || record.codec != "rebuilt") continue;
    ++rebuilt;
    ExpectNoiseAsPredicted(record);
    // At least as far off as the correction may go: 1/8.
    EXPECT_GT(record.correction, 0.4) << record.consumer;
  }
  EXPECT_GT(rebuilt, 0);
}

// As after an iteration whose loss is not finite, which is repeated with exact values.
TEST(ExecutorTest, AnIterationWithoutRoomLeavesNoTrace) {
  ExecutorOptions options;
  options.plan.batches_held = 1;
  options.store.limit_bytes = 1 << 20;
  options.controller.warmup = 0;
  const auto backend = NewBackend({});
  Executor limited(ResidualNetwork(), *backend, options);
  options.store.limit_bytes = 0;
  Executor other(ResidualNetwork(), *backend, options);
  const Batch batch = MakeBatch(backend->host_allocator(), limited.graph().values[0].shape, 512, 5);
  for (Executor* executor : {&limited, &other}) {
    executor->InitializeParameters();
    executor->Prepare(512);
    EXPECT_TRUE(executor->Train(batch, 1, {}).finite);
  }
  TrainOptions exact;
  exact.exact = true;
  const std::vector<float> before = Flatten(limited.parameters());
  EXPECT_THROW(limited.Train(batch, 2, exact), Error);
  EXPECT_EQ(Flatten(limited.parameters()), before) << "running statistics";
  other.Train(batch, 2, exact);
  EXPECT_TRUE(limited.Train(batch, 3, {}).finite);
  EXPECT_TRUE(other.Train(batch, 3, {}).finite);
  EXPECT_LT(RelativeDifference(Flatten(limited.gradients()), Flatten(other.gradients())), 0.05);
}

TEST(ExecutorTest, ANonFiniteNetworkIsReportedByItsFirstNode) {
  Trainee trainee(ResidualNetwork(), true);
  Executor& executor = trainee.executor();
  const Tensor& weight = executor.parameters()[executor.graph().nodes[3].parameters.at(0)];
  weight.data<float>()[0] = NAN;
  const std::vector<float> before = Flatten(executor.parameters());
  EXPECT_FALSE(executor.Train(trainee.batch(), 1).finite);
  EXPECT_EQ(executor.FirstNonFiniteNode(trainee.batch(), 1), executor.graph().nodes[3].name);
  weight.data<float>()[0] = 0;  // nothing else has been touched, running statistics included
  EXPECT_TRUE(executor.Train(trainee.batch(), 1).finite);
}

}  // namespace
}  // namespace encke
