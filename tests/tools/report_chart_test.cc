// The parts of charts: round ticks, groups of layers, labels that do not meet.
#include <gtest/gtest.h>

#include <cmath>

#include "tools/encke/report/axis.h"
#include "tools/encke/report/line_chart.h"
#include "tools/encke/report/stages.h"
#include "tools/encke/report/svg.h"

namespace encke::cli::report {
namespace {

std::vector<std::string> Labels(const Axis& axis) {
  std::vector<std::string> labels;
  for (const double tick : axis.ticks) labels.push_back(axis.label(tick));
  return labels;
}

using Texts = std::vector<std::string>;

TEST(Axis, HasRoundTicks) {
  EXPECT_EQ(Labels(LinearAxis(0, 2.31, 5)), (Texts{"0.0", "0.5", "1.0", "1.5", "2.0", "2.5"}));
  EXPECT_EQ(Labels(CountAxis(12345, 3)), (Texts{"0", "5,000", "10,000"}));
  EXPECT_EQ(Labels(ByteAxis(77.4 * 1048576, 4)),
            (Texts{"0", "20 MiB", "40 MiB", "60 MiB", "80 MiB"}));
  EXPECT_EQ(Labels(ByteAxis(1.2 * 1073741824, 3)), (Texts{"0", "0.5 GiB", "1.0 GiB", "1.5 GiB"}));
  EXPECT_EQ(Labels(LogAxis(0.03, 0.6)), (Texts{"0.02", "0.05", "0.1", "0.2", "0.5", "1"}));
  EXPECT_EQ(Labels(LogAxis(6e-5, 3e-4)), (Texts{"5·10⁻⁵", "10⁻⁴", "2·10⁻⁴", "5·10⁻⁴"}));
  EXPECT_EQ(Labels(LogAxis(3, 2e4)), (Texts{"10⁰", "10¹", "10²", "10³", "10⁴", "10⁵"}));
}

TEST(Axis, HoldsEveryValueEvenOfOnePoint) {
  for (const double value : {-3.0, 0.0, 1e-9, 5.0, 1e12}) {
    const Axis axis = LinearAxis(value, value, 5);
    EXPECT_LE(axis.low, value);
    EXPECT_GE(axis.high, value);
    EXPECT_TRUE(std::isfinite(axis.Place(value, 0, 100))) << value;
  }
  const Axis log = LogAxis(0.5, 0.5);
  EXPECT_TRUE(std::isfinite(log.Place(0.5, 0, 100)));
}

TEST(Axis, PlacesByLogarithm) {
  const Axis axis = LogAxis(1, 100);
  EXPECT_NEAR(axis.Place(10, 0, 200), 100, 1e-9);
  EXPECT_NEAR(axis.Place(100, 200, 0), 0, 1e-9) << "upside down, as on a screen";
}

TEST(StagesOf, GroupsNeighboursByTheirPrefix) {
  const std::vector<Stage> stages =
      StagesOf({"conv1", "relu1", "layer1.0.conv1", "layer1.1.conv1", "layer2.0.conv1", "fc"});
  ASSERT_EQ(stages.size(), 4u);
  EXPECT_EQ(stages[0].name, "conv1");
  EXPECT_EQ(stages[0].last, 1u);
  EXPECT_EQ(stages[1].name, "layer1");
  EXPECT_EQ(stages[1].first, 2u);
  EXPECT_EQ(stages[1].last, 3u);
  EXPECT_EQ(stages[3].name, "fc");
  EXPECT_TRUE(StagesOf({}).empty());
  const std::vector<Stage> nested =
      StagesOf({"features.0.conv", "features.3.branch0.conv", "features.3.branch1.conv", "fc"});
  ASSERT_EQ(nested.size(), 3u) << "what all have in common does not tell stages apart";
  EXPECT_EQ(nested[1].name, "features.3");
  EXPECT_EQ(nested[1].last, 2u);
}

TEST(SpreadOut, KeepsTheOrderAndTheGap) {
  const std::vector<double> places = SpreadOut({50, 51, 52, 99}, 10, 0, 100);
  for (size_t i = 1; i < places.size(); ++i) EXPECT_GE(places[i] - places[i - 1], 10 - 1e-9);
  EXPECT_LE(places.back(), 100);
  EXPECT_EQ(SpreadOut({}, 10, 0, 100).size(), 0u);
}

TEST(Thin, AveragesEqualGroups) {
  std::vector<Point> points;
  for (int i = 0; i < 1000; ++i) points.push_back({1.0 * i, 2.0 * i});
  const std::vector<Point> thin = Thin(points, 100);
  ASSERT_EQ(thin.size(), 100u);
  EXPECT_NEAR(thin[0].x, 4.5, 1e-9);
  EXPECT_NEAR(thin[99].y, 2 * 994.5, 1e-9);
  EXPECT_EQ(Thin(points, 1000).size(), 1000u);
}

TEST(Svg, EscapesTexts) {
  EXPECT_EQ(Escape("<a & \"b\" 'c'>"), "&lt;a &amp; &quot;b&quot; &#39;c&#39;&gt;");
  EXPECT_EQ(Px(12.50), "12.5");
  EXPECT_EQ(Px(-0.001), "0");
  EXPECT_EQ(Px(100), "100");
}

}  // namespace
}  // namespace encke::cli::report
