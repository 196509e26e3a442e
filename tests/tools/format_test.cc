#include "tools/encke/format.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace encke::cli {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

TEST(FormatCount, GroupsDigits) {
  EXPECT_EQ(FormatCount(0), "0");
  EXPECT_EQ(FormatCount(999), "999");
  EXPECT_EQ(FormatCount(1000), "1,000");
  EXPECT_EQ(FormatCount(25557032), "25,557,032");
  EXPECT_EQ(FormatCount(-123456), "-123,456");
}

TEST(FormatSi, PicksThePrefix) {
  EXPECT_EQ(FormatSi(0), "0");
  EXPECT_EQ(FormatSi(999), "999");
  EXPECT_EQ(FormatSi(1000), "1.00 k");
  EXPECT_EQ(FormatSi(4089184256.0), "4.09 G");
  EXPECT_EQ(FormatSi(41.2e6), "41.2 M");
}

TEST(FormatDuration, GetsCoarserAsItGrows) {
  EXPECT_EQ(FormatDuration(3.24), "3.2s");
  EXPECT_EQ(FormatDuration(9.97), "10s");
  EXPECT_EQ(FormatDuration(77), "1m 17s");
  EXPECT_EQ(FormatDuration(3599.7), "1h 00m");
  EXPECT_EQ(FormatDuration(7500), "2h 05m");
  EXPECT_EQ(FormatDuration(-1), "-");
  EXPECT_EQ(FormatDuration(kNan), "-");
}

TEST(FormatNumbers, ShowADashWhereThereIsNoNumber) {
  EXPECT_EQ(FormatFixed(kNan, 2), "-");
  EXPECT_EQ(FormatSigned(kNan, 2), "-");
  EXPECT_EQ(FormatSignificant(kNan, 3), "-");
  EXPECT_EQ(FormatRatio(0), "-");
  EXPECT_EQ(FormatRatio(std::numeric_limits<double>::infinity()), "-");
}

TEST(FormatNumbers, KeepTheDigitsThatMatter) {
  EXPECT_EQ(FormatSigned(0.1234, 2), "+0.12");
  EXPECT_EQ(FormatSigned(-3, 1), "-3.0");
  EXPECT_EQ(FormatSignificant(0.00012345, 3), "0.000123");
  EXPECT_EQ(FormatSignificant(1.2345e-7, 3), "1.23e-07");
  EXPECT_EQ(FormatSignificant(4512.3, 3), "4512");
  EXPECT_EQ(FormatSignificant(0, 3), "0.00");
  EXPECT_EQ(FormatRatio(9.812), "9.81x");
  EXPECT_EQ(FormatRatio(12.34), "12.3x");
  EXPECT_EQ(FormatRatio(128.4), "128x");
}

TEST(Shorten, KeepsBothEndsAndCountsCodePoints) {
  EXPECT_EQ(Shorten("layer1", 6), "layer1");
  EXPECT_EQ(Shorten("layer1.0.conv1", 9), "laye…onv1");
  EXPECT_EQ(DisplayWidth(Shorten("ääääääääää", 5)), 5);
  EXPECT_EQ(DisplayWidth("▁▂▃"), 3);
}

TEST(Sparkline, SpansLowestToHighest) {
  EXPECT_EQ(Sparkline({0, 1, 2, 3, 4, 5, 6, 7}, 8), "▁▂▃▄▅▆▇█");
  EXPECT_EQ(Sparkline({7, 0}, 8), "█▁");
  EXPECT_EQ(Sparkline({}, 8), "");
}

TEST(Sparkline, AveragesWhatDoesNotFit) {
  EXPECT_EQ(Sparkline({0, 0, 7, 7}, 2), "▁█");
  EXPECT_EQ(DisplayWidth(Sparkline(std::vector<double>(1000, 1.0), 12)), 12);
}

TEST(Sparkline, LeavesABlankWhereNothingIsKnown) { EXPECT_EQ(Sparkline({1, kNan, 2}, 3), "▁ █"); }

}  // namespace
}  // namespace encke::cli
