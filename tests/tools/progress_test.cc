#include "tools/encke/progress.h"

#include <gtest/gtest.h>

#include "tools/encke/format.h"

namespace encke::cli {
namespace {

Progress Example() {
  Progress progress;
  progress.iteration = 412;
  progress.iterations = 1876;
  progress.epoch = 0.4392;
  progress.epochs = 2;
  progress.loss = 0.5123;
  progress.top1 = 81.26;
  progress.images_per_second = 454.6;
  progress.iterations_per_second = 7.1;
  progress.ratio = 8.91;
  progress.now.bytes[0] = int64_t{61} << 20;
  progress.peak.bytes[0] = int64_t{73} << 20;
  progress.eta_seconds = 77;
  return progress;
}

TEST(ProgressLine, ShowsEverythingWhereThereIsRoom) {
  EXPECT_EQ(ProgressLine(Example(), 200),
            "epoch 0.44/2  it 412/1876  loss 0.512  top-1 81.3%  mem 61.0/73.0 MiB  "
            "ratio 8.91x  7.10 it/s  455 img/s  ETA 1m 17s");
}

TEST(ProgressLine, LeavesOutWhatMattersLeast) {
  EXPECT_EQ(ProgressLine(Example(), 79),
            "epoch 0.44/2  loss 0.512  top-1 81.3%  mem 61.0/73.0 MiB  455 img/s  ETA 1m 17s");
  EXPECT_EQ(ProgressLine(Example(), 15), "epoch 0.44/2");
}

TEST(ProgressLine, SaysNothingOfSpeedBeforeItIsKnown) {
  Progress progress = Example();
  progress.images_per_second = 0;
  EXPECT_EQ(ProgressLine(progress, 55), "epoch 0.44/2  loss 0.512  top-1 81.3%  ratio 8.91x");
}

TEST(ProgressLine, FitsEveryWidth) {
  for (int width = 13; width < 160; ++width) {
    EXPECT_LE(DisplayWidth(ProgressLine(Example(), width)), width);
  }
}

}  // namespace
}  // namespace encke::cli
