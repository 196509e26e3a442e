#include "engine/train/schedule.h"

#include <gtest/gtest.h>

#include <cmath>

namespace encke {
namespace {

ScheduleOptions Options(config::Schedule::Kind kind) {
  ScheduleOptions options;
  options.kind = kind;
  options.base = 0.4;
  return options;
}

TEST(ScheduleTest, ConstantStays) {
  const ScheduleOptions options = Options(config::Schedule::CONSTANT);
  EXPECT_DOUBLE_EQ(LearningRate(options, 0, 10), 0.4);
  EXPECT_DOUBLE_EQ(LearningRate(options, 10, 10), 0.4);
}

TEST(ScheduleTest, StepFallsEverySoManyEpochs) {
  ScheduleOptions options = Options(config::Schedule::STEP);
  options.step = 3;
  EXPECT_DOUBLE_EQ(LearningRate(options, 2.999, 10), 0.4);
  EXPECT_DOUBLE_EQ(LearningRate(options, 3, 10), 0.04);
  EXPECT_NEAR(LearningRate(options, 9, 10), 0.0004, 1e-12);
}

TEST(ScheduleTest, MultistepFallsAtTheMilestones) {
  ScheduleOptions options = Options(config::Schedule::MULTISTEP);
  options.milestones = {2, 4.5};
  options.gamma = 0.5;
  EXPECT_DOUBLE_EQ(LearningRate(options, 1.99, 10), 0.4);
  EXPECT_DOUBLE_EQ(LearningRate(options, 2, 10), 0.2);
  EXPECT_DOUBLE_EQ(LearningRate(options, 5, 10), 0.1);
}

TEST(ScheduleTest, PolyFollowsItsPower) {
  ScheduleOptions options = Options(config::Schedule::POLY);
  options.power = 2;
  options.final_fraction = 0.2;
  EXPECT_DOUBLE_EQ(LearningRate(options, 0, 8), 0.4);
  EXPECT_DOUBLE_EQ(LearningRate(options, 4, 8), 0.4 * (0.2 + 0.8 * 0.25));
  EXPECT_DOUBLE_EQ(LearningRate(options, 8, 8), 0.08);
  EXPECT_DOUBLE_EQ(LearningRate(options, 9, 8), 0.08) << "beyond the end it stays";
}

TEST(ScheduleTest, CosineFallsBehindTheWarmup) {
  ScheduleOptions options = Options(config::Schedule::COSINE);
  options.warmup = 2;
  options.warmup_fraction = 0.25;
  EXPECT_DOUBLE_EQ(LearningRate(options, 0, 10), 0.1);
  EXPECT_DOUBLE_EQ(LearningRate(options, 1, 10), 0.25);
  EXPECT_DOUBLE_EQ(LearningRate(options, 2, 10), 0.4);
  EXPECT_DOUBLE_EQ(LearningRate(options, 6, 10), 0.2) << "half way from 2 to 10";
  EXPECT_NEAR(LearningRate(options, 4, 10), 0.4 * (1 + std::sqrt(0.5)) / 2, 1e-12);
  EXPECT_NEAR(LearningRate(options, 10, 10), 0, 1e-15);
}

TEST(ScheduleTest, OneCycleRisesToThePeakAndFalls) {
  ScheduleOptions options = Options(config::Schedule::ONE_CYCLE);
  options.peak_at = 0.25;
  EXPECT_DOUBLE_EQ(LearningRate(options, 0, 8), 0.04);
  EXPECT_DOUBLE_EQ(LearningRate(options, 1, 8), 0.4 * 0.55);
  EXPECT_DOUBLE_EQ(LearningRate(options, 2, 8), 0.4);
  EXPECT_DOUBLE_EQ(LearningRate(options, 5, 8), 0.2);
  EXPECT_NEAR(LearningRate(options, 8, 8), 0, 1e-15);
}

TEST(ScheduleTest, SmoothKindsHaveNoJumps) {
  for (const auto kind : {config::Schedule::CONSTANT, config::Schedule::POLY,
                          config::Schedule::COSINE, config::Schedule::ONE_CYCLE}) {
    ScheduleOptions options = Options(kind);
    options.warmup = kind == config::Schedule::ONE_CYCLE ? 0 : 1.5;
    const double step = 1e-3;
    for (double epoch = 0; epoch < 6; epoch += step)
      EXPECT_NEAR(LearningRate(options, epoch, 6), LearningRate(options, epoch + step, 6), 1e-3)
          << "kind " << kind << " at " << epoch;
  }
}

TEST(ScheduleTest, TakesItsOptionsFromTheConfig) {
  config::Optimizer optimizer;
  optimizer.set_learning_rate(0.25f);
  config::Schedule schedule;
  schedule.set_kind(config::Schedule::MULTISTEP);
  schedule.add_milestone(1);
  schedule.add_milestone(2);
  const ScheduleOptions options = MakeScheduleOptions(schedule, optimizer);
  EXPECT_DOUBLE_EQ(LearningRate(options, 0.5, 3), 0.25);
  EXPECT_NEAR(LearningRate(options, 2.5, 3), 0.0025, 1e-9);
}

}  // namespace
}  // namespace encke
