#include "engine/train/timetable.h"

#include <gtest/gtest.h>

#include "engine/core/error.h"

namespace encke {
namespace {

config::Training Training(int64_t batch, double epochs) {
  config::Training training;
  training.set_batch(batch);
  training.set_epochs(epochs);
  return training;
}

TEST(TimetableTest, OneBatchAnIteration) {
  const Timetable table(Training(10, 2.5), /*batches=*/4, /*samples=*/40);
  EXPECT_EQ(table.iterations(), 10);
  EXPECT_EQ(table.EpochOf(4), 0);
  EXPECT_EQ(table.EpochOf(5), 1);
  EXPECT_EQ(table.FirstBatchOf(6), 1);
  EXPECT_EQ(table.PlanOf(6).samples, 10);
  EXPECT_DOUBLE_EQ(table.EpochsAfter(6), 1.5);
}

TEST(TimetableTest, AccumulationTakesGroupsOfBatches) {
  config::Training training = Training(10, 1);
  training.set_accumulate(3);
  const Timetable dropping(training, 7, 70);
  EXPECT_EQ(dropping.iterations(), 2);
  EXPECT_EQ(dropping.FirstBatchOf(2), 3);
  EXPECT_EQ(dropping.PlanOf(2).batches, 3);
  EXPECT_EQ(dropping.PlanOf(2).first_pass, 4);
  training.set_drop_last(false);
  const Timetable keeping(training, 7, 65);
  EXPECT_EQ(keeping.iterations(), 3);
  EXPECT_EQ(keeping.PlanOf(3).batches, 1);
  EXPECT_EQ(keeping.PlanOf(3).samples, 5) << "the loss is averaged over what is there";
}

TEST(TimetableTest, IterationsOverrideEpochs) {
  config::Training training = Training(10, 100);
  training.set_iterations(6);
  const Timetable table(training, 4, 40);
  EXPECT_EQ(table.iterations(), 6);
  EXPECT_DOUBLE_EQ(table.epochs(), 1.5);
}

TEST(TimetableTest, TheLeastPartOfAnEpochIsOneIteration) {
  EXPECT_EQ(Timetable(Training(10, 0.0001), 4, 40).iterations(), 1);
}

TEST(TimetableTest, FractionalEvaluationEpochsComeOnTime) {
  config::Training training = Training(10, 2);
  training.set_evaluate_every(0.3);
  const Timetable table(training, 10, 100);
  std::vector<int64_t> due;
  for (int64_t i = 1; i <= 20; ++i)
    if (table.EvaluationDueAfter(i)) due.push_back(i);
  EXPECT_EQ(due, (std::vector<int64_t>{3, 6, 9, 12, 15, 18, 20}));
}

TEST(TimetableTest, CheckpointsComeEveryNEpochs) {
  config::Training training = Training(10, 4);
  training.set_checkpoint_every(2);
  const Timetable table(training, 3, 30);
  EXPECT_FALSE(table.CheckpointDueAfter(3));
  EXPECT_TRUE(table.CheckpointDueAfter(6));
  training.set_checkpoint_every(0);
  EXPECT_FALSE(Timetable(training, 3, 30).CheckpointDueAfter(6)) << "0 means never";
}

TEST(TimetableTest, TooFewImagesAreAnError) {
  config::Training training = Training(10, 1);
  training.set_accumulate(4);
  EXPECT_THROW(Timetable(training, 3, 30), Error);
}

}  // namespace
}  // namespace encke
