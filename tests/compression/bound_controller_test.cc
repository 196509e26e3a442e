#include "compression/bound_controller.h"

#include <cmath>
#include <limits>

#include "engine/core/error.h"
#include "gtest/gtest.h"

namespace encke {
namespace {

constexpr int kValue = 4, kConsumer = 9;
constexpr int64_t kLate = 1000;  // long after warm-up

GradientStatistics SomeStatistics() {
  GradientStatistics s;
  s.output_gradient_squares = 6;
  s.output_gradient_magnitude = 0.125;
  s.filter_gradient_squares = 2;
  s.mean_momentum = 0.5;
  s.output_channels = 2;
  s.batch = 16;
  s.input_elements = 1000;
  s.kernel = 9;
  s.stride = 1;
  return s;
}

BoundController Observed(ErrorRule rule, const GradientStatistics& statistics) {
  ControllerOptions options;
  options.rule = rule;
  options.tolerance = 0.1;
  BoundController controller(options);
  controller.AddConsumer(kValue, kConsumer);
  controller.ObserveValue(kValue, 0.25, 1.0);
  controller.ObserveGradient(kConsumer, statistics);
  return controller;
}

TEST(BoundController, VarianceRuleMatchesTheFormula) {
  const BoundController c = Observed(ErrorRule::VARIANCE, SomeStatistics());
  // 0.1 * 0.5 * sqrt(3 / (0.25 * 6 / 2)) = 0.05 * 2
  EXPECT_DOUBLE_EQ(c.BoundFor(kValue, kLate), 0.1);
  // The bound gives back the sigma it was made for: 0.1 * 0.5.
  EXPECT_DOUBLE_EQ(c.PredictedSigma(kValue, kConsumer, 0.1), 0.05);
}

TEST(BoundController, CometRuleMatchesTheFormula) {
  // 0.1 * 0.5 / (0.32 * 0.125 * sqrt(16 * 0.25)) = 0.05 / 0.08
  EXPECT_DOUBLE_EQ(Observed(ErrorRule::COMET, SomeStatistics()).BoundFor(kValue, kLate), 0.625);
}

TEST(BoundController, AcgcRuleMatchesTheFormula) {
  // sqrt(3 * 0.1 * 2 / (2 * 1000 * 9 * 6)) = sqrt(0.6 / 108000)
  EXPECT_DOUBLE_EQ(Observed(ErrorRule::ACGC, SomeStatistics()).BoundFor(kValue, kLate),
                   std::sqrt(0.6 / 108000));
}

TEST(BoundController, FixedRuleIsTheUsersBound) {
  ControllerOptions options;
  options.rule = ErrorRule::FIXED;
  for (const double bound : {0.0, 0.37}) {
    options.fixed_bound = bound;
    EXPECT_EQ(BoundController(options).BoundFor(kValue, 1), bound);
  }
}

TEST(BoundController, TheTightestConsumerWins) {
  BoundController c = Observed(ErrorRule::VARIANCE, SomeStatistics());
  GradientStatistics strict = SomeStatistics();
  strict.mean_momentum /= 8;
  c.AddConsumer(kValue, kConsumer + 1);
  c.ObserveGradient(kConsumer + 1, strict);
  EXPECT_DOUBLE_EQ(c.BoundFor(kValue, kLate), 0.1 / 8);
}

TEST(BoundController, AddingAConsumerAgainChangesNothing) {
  BoundController c = Observed(ErrorRule::VARIANCE, SomeStatistics());
  AuditResult audit;
  audit.predicted_sigma = 1;
  audit.measured_sigma = 2;
  c.ObserveAudit(kConsumer, audit);
  const double bound = c.BoundFor(kValue, kLate), tolerance = c.ToleranceFor(kValue, kLate);
  const std::string state = c.Save();
  c.AddConsumer(kValue, kConsumer);
  EXPECT_EQ(c.BoundFor(kValue, kLate), bound);
  EXPECT_EQ(c.ToleranceFor(kValue, kLate), tolerance);
  EXPECT_EQ(c.Save(), state) << "what is known of it stays";
}

TEST(BoundController, BoundFollowsItsInputsMonotonically) {
  const double before = Observed(ErrorRule::VARIANCE, SomeStatistics()).BoundFor(kValue, kLate);
  GradientStatistics more_momentum = SomeStatistics(), more_gradient = SomeStatistics();
  more_momentum.mean_momentum *= 2;
  more_gradient.output_gradient_squares *= 2;
  EXPECT_GT(Observed(ErrorRule::VARIANCE, more_momentum).BoundFor(kValue, kLate), before);
  EXPECT_LT(Observed(ErrorRule::VARIANCE, more_gradient).BoundFor(kValue, kLate), before);
}

TEST(BoundController, WarmsUpAtHalfTheTolerance) {
  const BoundController c = Observed(ErrorRule::VARIANCE, SomeStatistics());
  EXPECT_DOUBLE_EQ(c.BoundFor(kValue, c.options().warmup), 0.05);
  EXPECT_DOUBLE_EQ(c.BoundFor(kValue, c.options().warmup + 1), 0.1);
  EXPECT_DOUBLE_EQ(c.ToleranceFor(kValue, 1), 0.05);
}

TEST(BoundController, StartsFromTheValuesSize) {
  ControllerOptions options;
  BoundController c(options);
  c.AddConsumer(kValue, kConsumer);
  const double unseen = c.BoundFor(kValue, 1);
  EXPECT_GT(unseen, 0);
  EXPECT_LT(unseen, 0.01);
  c.ObserveValue(kValue, 0.5, 20.0);
  EXPECT_DOUBLE_EQ(c.BoundFor(kValue, 1), options.initial_bound * 20);
}

TEST(BoundController, RefreshesDenselyThenSparsely) {
  ControllerOptions options;
  options.interval = 20;
  const BoundController c(options);
  std::vector<int64_t> refreshed;
  for (int64_t i = 0; i <= 80; ++i) {
    if (c.Refreshes(i)) refreshed.push_back(i);
  }
  EXPECT_EQ(refreshed, (std::vector<int64_t>{1, 2, 4, 8, 16, 20, 40, 60, 80}));
}

TEST(BoundController, AuditsTightenAndEase) {
  BoundController c = Observed(ErrorRule::VARIANCE, SomeStatistics());
  AuditResult audit;
  audit.predicted_sigma = 1.0;
  audit.measured_sigma = 1.2;
  c.ObserveAudit(kConsumer, audit);
  EXPECT_DOUBLE_EQ(c.BoundFor(kValue, kLate), 0.1);
  audit.measured_sigma = 2.0;
  c.ObserveAudit(kConsumer, audit);
  EXPECT_DOUBLE_EQ(c.BoundFor(kValue, kLate), 0.05);
  audit.measured_sigma = 1.0;
  for (int i = 0; i < 10; ++i) c.ObserveAudit(kConsumer, audit);
  EXPECT_DOUBLE_EQ(c.BoundFor(kValue, kLate), 0.1);
}

TEST(BoundController, NonFiniteStepsTightenUpToALimit) {
  BoundController c = Observed(ErrorRule::VARIANCE, SomeStatistics());
  c.ObserveNonFinite();
  EXPECT_DOUBLE_EQ(c.BoundFor(kValue, kLate), 0.05);
  for (int i = 0; i < 100; ++i) c.ObserveNonFinite();
  EXPECT_DOUBLE_EQ(c.BoundFor(kValue, kLate), 0.1 / 64);
}

TEST(BoundController, DegenerateStatisticsGiveAUsableBound) {
  const double inf = std::numeric_limits<double>::infinity();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const ErrorRule rule : {ErrorRule::VARIANCE, ErrorRule::COMET, ErrorRule::ACGC}) {
    for (const double bad : {0.0, inf, nan, -1.0, 1e300, 1e-300}) {
      for (int field = 0; field < 6; ++field) {
        GradientStatistics s = SomeStatistics();
        double* fields[] = {&s.output_gradient_squares, &s.output_gradient_magnitude,
                            &s.filter_gradient_squares, &s.mean_momentum};
        if (field < 4) *fields[field] = bad;
        BoundController c = Observed(rule, s);
        c.ObserveValue(kValue, field == 4 ? bad : 0.5, field == 5 ? bad : 2.0);
        const double bound = c.BoundFor(kValue, kLate);
        EXPECT_TRUE(std::isfinite(bound) && bound > 0) << bad << " in field " << field;
        EXPECT_GT(static_cast<float>(bound), 0.0f) << bad << " in field " << field;
        EXPECT_LE(bound, 2.0) << bad << " in field " << field;
      }
    }
  }
}

TEST(BoundController, PaddingThatTapsMeetAddsNoNoise) {
  GradientStatistics small_map = SomeStatistics();
  small_map.share_inside = 4.0 / 9;
  EXPECT_DOUBLE_EQ(BoundController::FormulaSigma(small_map, 0.25, 0.1), 0.05 * 2 / 3);
  const BoundController c = Observed(ErrorRule::VARIANCE, small_map);
  EXPECT_DOUBLE_EQ(c.BoundFor(kValue, kLate), 0.1 * 3 / 2);
}

TEST(BoundController, ProbesCorrectPredictionAndBound) {
  BoundController c = Observed(ErrorRule::VARIANCE, SomeStatistics());
  for (int i = 0; i < 100; ++i) c.ObserveProbe(kConsumer, 9.0, 1.0, 8);
  EXPECT_NEAR(c.CorrectionOf(kConsumer), 3.0, 1e-4);
  EXPECT_NEAR(c.BoundFor(kValue, kLate), 0.1 / 3, 1e-5);
  // The corrected bound gives back the sigma it was made for.
  EXPECT_NEAR(c.PredictedSigma(kValue, kConsumer, c.BoundFor(kValue, kLate)), 0.05, 1e-9);
}

TEST(BoundController, ProbesOfFewChannelsAverageAsVariances) {
  BoundController c = Observed(ErrorRule::VARIANCE, SomeStatistics());
  // Every eighth probe meets the one channel that has all the noise.
  for (int i = 0; i < 21; ++i) {
    c.ObserveProbe(kConsumer, i % 8 == 3 ? 32.0 : 0.0, 1.0, 8);
    if (i < 7) continue;  // the first round
    EXPECT_DOUBLE_EQ(c.CorrectionOf(kConsumer), 2.0) << "sqrt(32 / 8), " << i;
  }
}

TEST(BoundController, AFirstProbeDoesNotDecideAlone) {
  BoundController c = Observed(ErrorRule::VARIANCE, SomeStatistics());
  c.ObserveProbe(kConsumer, 0.0, 1.0, 8);
  EXPECT_DOUBLE_EQ(c.CorrectionOf(kConsumer), std::sqrt(0.5)) << "as likely as the formula";
}

TEST(BoundController, DegenerateProbesTeachNothing) {
  BoundController c = Observed(ErrorRule::VARIANCE, SomeStatistics());
  const double inf = std::numeric_limits<double>::infinity();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const double bad : {inf, nan, -1.0}) {
    c.ObserveProbe(kConsumer, bad, 1.0, 8);
    c.ObserveProbe(kConsumer, 1.0, bad, 8);
  }
  c.ObserveProbe(kConsumer, 1.0, 0.0, 8);
  EXPECT_EQ(c.CorrectionOf(kConsumer), 1.0);
  c.ObserveProbe(kConsumer, 1e300, 1e-300, 8);
  EXPECT_LE(c.CorrectionOf(kConsumer), 64.0);
}

TEST(BoundController, ProbesInEveryIterationThenSparsely) {
  ControllerOptions options;
  options.interval = 2;
  const BoundController c(options);
  std::vector<int64_t> numbers;
  for (int64_t i = 1; i <= 16; ++i) numbers.push_back(c.ProbeOf(i));
  EXPECT_EQ(numbers, (std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7, -1, -1, -1, 8, -1, -1, -1, 9}));
}

// A batch with next to no gradient must not open the bounds until the next refresh.
TEST(BoundController, OneBatchDoesNotDecideAlone) {
  BoundController c = Observed(ErrorRule::VARIANCE, SomeStatistics());
  GradientStatistics little = SomeStatistics();
  little.output_gradient_squares /= 10000;
  c.ObserveGradient(kConsumer, little);
  EXPECT_LT(c.BoundFor(kValue, kLate), 0.12);
  // What lasts is followed, probes between refreshes included.
  for (int i = 0; i < 40; ++i) {
    c.ObserveOutputGradient(kConsumer, 4 * SomeStatistics().output_gradient_squares);
  }
  EXPECT_NEAR(c.BoundFor(kValue, kLate), 0.05, 1e-4);
}

TEST(BoundController, BoundsLeaveMoreThanOneCell) {
  GradientStatistics tiny = SomeStatistics();
  tiny.output_gradient_squares = 1e-9;
  EXPECT_DOUBLE_EQ(Observed(ErrorRule::VARIANCE, tiny).BoundFor(kValue, kLate), 1.0) << "the rms";
}

TEST(BoundController, PatternsPredictWhatTheirGradientsAdd) {
  BoundController c = Observed(ErrorRule::VARIANCE, SomeStatistics());
  NoiseSample sample;
  sample.quotient = 9.0;
  sample.white = 1.0;
  sample.errors = {0.5, 0.25, 0.125};
  for (int i = 0; i < 8; ++i) c.ObserveProbe(kConsumer, sample, 8);
  EXPECT_DOUBLE_EQ(c.CorrectionOf(kConsumer), 3.0);
  EXPECT_DOUBLE_EQ(c.CorrectionFor(kConsumer, {}), 1.0);
  EXPECT_DOUBLE_EQ(c.CorrectionFor(kConsumer, {6, 8, 4}), std::sqrt(1.0 + 3 + 2 + 1));
  sample.errors.both = std::numeric_limits<double>::quiet_NaN();
  for (int i = 0; i < 8; ++i) c.ObserveProbe(kConsumer, sample, 8);
  EXPECT_DOUBLE_EQ(c.CorrectionFor(kConsumer, {}), 3.0) << "counts as white";
}

TEST(BoundController, StatesWithQuotientsOnlyAreRead) {
  BoundController c = Observed(ErrorRule::VARIANCE, SomeStatistics());
  c.ObserveProbe(kConsumer, 4.0, 1.0, 1);
  std::string state = c.Save();
  const std::string probes = "\"probes\":[[4.0,4.0,0.0,0.0,0.0]]";
  ASSERT_NE(state.find(probes), std::string::npos) << state;
  state.replace(state.find(probes), probes.size(), "\"quotients\":[4.0]");
  const size_t squares = state.find("\"output_squares\"");
  ASSERT_NE(squares, std::string::npos);
  state.erase(squares, state.find(',', squares) + 1 - squares);
  BoundController other(c.options());
  other.AddConsumer(kValue, kConsumer);
  other.Restore(state);
  EXPECT_EQ(other.Save(), c.Save());
}

TEST(BoundController, StateSurvivesBitForBit) {
  GradientStatistics odd = SomeStatistics();
  odd.mean_momentum = 0.1 + 0.2;
  odd.output_gradient_squares = 1.0 / 3.0;
  BoundController c = Observed(ErrorRule::VARIANCE, odd);
  AuditResult audit;
  audit.predicted_sigma = 1;
  audit.measured_sigma = std::sqrt(3.0);
  c.ObserveAudit(kConsumer, audit);
  c.ObserveProbe(kConsumer, 0.7, 0.3, 8);
  c.ObserveProbe(kConsumer, {1.0 / 3, 0.1, {0.2, 0.3, -0.7}}, 8);
  c.ObserveOutputGradient(kConsumer, 0.1);
  c.ObserveValue(kValue + 5, 0.5, 2.0);  // a value that no weight gradient reads
  BoundController other(c.options());
  other.AddConsumer(kValue, kConsumer);
  other.Restore(c.Save());
  EXPECT_EQ(other.BoundFor(kValue + 5, kLate), c.BoundFor(kValue + 5, kLate));
  EXPECT_EQ(other.BoundFor(kValue, kLate), c.BoundFor(kValue, kLate));
  EXPECT_EQ(other.Save(), c.Save());
}

TEST(BoundController, RefusesForeignState) {
  BoundController c = Observed(ErrorRule::VARIANCE, SomeStatistics());
  const std::string good = c.Save();
  BoundController other(c.options());
  other.AddConsumer(kValue + 1, kConsumer);
  for (const std::string& text : {good, std::string(), std::string("{}"), std::string("[1,2"),
                                  good.substr(0, good.size() / 2)}) {
    try {
      other.Restore(text);
      ADD_FAILURE() << "accepted " << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::DATA);
    }
  }
}

}  // namespace
}  // namespace encke
