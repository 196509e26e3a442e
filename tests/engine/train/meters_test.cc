#include "engine/train/meters.h"

#include <gtest/gtest.h>

#include "engine/core/error.h"

namespace encke {
namespace {

TEST(MetersTest, MeansAreOverSamplesNotBatches) {
  SampleMeter meter;
  meter.Add(/*loss_sum=*/30, /*samples=*/10, /*top1=*/5, /*top5=*/9);
  meter.Add(2, 2, 2, 2);
  EXPECT_DOUBLE_EQ(meter.loss(), 32.0 / 12);
  EXPECT_DOUBLE_EQ(meter.top1(), 100 * 7.0 / 12);
  EXPECT_DOUBLE_EQ(meter.top5(), 100 * 11.0 / 12);
}

TEST(MetersTest, RecentLossForgetsOldIterations) {
  TrainingMeters meters;
  meters.Add(1000, 1, 0, 0);
  for (int i = 0; i < TrainingMeters::kWindow; ++i) meters.Add(4, 2, 1, 2);
  EXPECT_DOUBLE_EQ(meters.recent_loss(), 2);
  EXPECT_DOUBLE_EQ(meters.recent_top1(), 50);
}

TEST(MetersTest, StateSurvivesBitForBit) {
  TrainingMeters meters;
  for (int i = 1; i < 70; ++i) meters.Add(i / 3.0, 7, i % 7, i % 7);
  TrainingMeters restored;
  restored.Restore(meters.Save());
  EXPECT_EQ(restored.recent_loss(), meters.recent_loss());
  EXPECT_EQ(restored.recent_top1(), meters.recent_top1());
  EXPECT_EQ(restored.interval().loss(), meters.interval().loss());
  EXPECT_EQ(restored.Save(), meters.Save());
  EXPECT_THROW(restored.Restore("{}"), Error);
}

TEST(MetersTest, ThroughputLeavesTheFirstIterationsOut) {
  Throughput throughput;
  EXPECT_EQ(throughput.images_per_second(), 0);
  for (int i = 0; i < Throughput::kLeftOut; ++i) throughput.Add(10, 100, 50);
  EXPECT_DOUBLE_EQ(throughput.images_per_second(), 0.1) << "while there are no others";
  EXPECT_DOUBLE_EQ(throughput.wait_fraction(), 0.5);
  throughput.Add(10, 0.5, 0.1);
  throughput.Add(10, 0.5, 0.4);
  EXPECT_DOUBLE_EQ(throughput.images_per_second(), 20);
  EXPECT_DOUBLE_EQ(throughput.iterations_per_second(), 2) << "however many batches they took";
  EXPECT_DOUBLE_EQ(throughput.wait_fraction(), 0.5);
  EXPECT_DOUBLE_EQ(throughput.eta_seconds(10), 5);
  throughput.Reset();
  throughput.Add(10, 1, 0);
  EXPECT_DOUBLE_EQ(throughput.images_per_second(), 10) << "a reset leaves nothing out again";
}

}  // namespace
}  // namespace encke
