// Ratio and error bound over the iterations, and accuracy against ratio.
#include <algorithm>
#include <cmath>
#include <map>

#include "engine/core/error.h"
#include "tools/encke/format.h"
#include "tools/encke/report/line_chart.h"
#include "tools/encke/report/scatter_chart.h"
#include "tools/encke/report/sections.h"

namespace encke::cli::report {
namespace {

constexpr Canvas kHalf{480, 320, false};

LineChart Base(std::vector<Curve> curves) {
  double last = 0;
  for (const Curve& curve : curves) last = std::max(last, curve.points.back().x);
  LineChart chart;
  chart.x = CountAxis(last, 5);
  chart.x_unit = "iteration";
  chart.curves = std::move(curves);
  return chart;
}

std::string RatioChart(const Runs& runs) {
  std::vector<Curve> curves;
  for (size_t r = 0; r < runs.size(); ++r) {
    Curve curve{runs[r].label, ColourOf(r), Curve::Style::LINE, {}};
    for (const MetricPoint& point : runs[r].metrics) {
      if (point.ratio > 0) curve.points.push_back({1.0 * point.iteration, point.ratio});
    }
    curve.points = Thin(curve.points);
    if (!curve.points.empty()) curves.push_back(std::move(curve));
  }
  if (curves.empty()) return Missing("No ratio was logged.");
  const Range range = RangeOf(curves);
  LineChart chart = Base(std::move(curves));
  chart.title = "Ratio";
  chart.unit = "raw over stored, all saved values";
  chart.y = LinearAxis(0, range.high, 5);
  chart.y.label = [](double value) {
    return FormatFixed(value, value < 1 && value > 0 ? 1 : 0) + "x";
  };
  chart.value = FormatRatio;
  return ToHtml(MakeFigure(chart, kHalf));
}

// Values whose bound follows from the noise allowed in a weight gradient.
bool IsControlled(const ActivationSeries& series) {
  return std::any_of(series.entries.begin(), series.entries.end(), [](const ActivationEntry& e) {
    return e.predicted_sigma > 0 && e.error_bound > 0;
  });
}

// Of all controlled values, by iteration.
std::map<double, std::vector<double>> BoundsOf(const RunData& run) {
  std::map<double, std::vector<double>> bounds;
  for (const ActivationSeries& series : run.activations) {
    if (!IsControlled(series)) continue;
    for (const ActivationEntry& entry : series.entries) {
      if (entry.error_bound > 0) bounds[1.0 * entry.iteration].push_back(entry.error_bound);
    }
  }
  return bounds;
}

double Quantile(const std::vector<double>& sorted, double part) {
  return sorted[static_cast<size_t>(std::lround(part * static_cast<double>(sorted.size() - 1)))];
}

// The median over the values, and the band that holds eight of ten.
void AddBounds(const RunData& run, size_t colour, std::vector<Curve>* curves,
               std::vector<Band>* bands) {
  Curve median{run.label, ColourOf(colour), Curve::Style::LINE, {}};
  Band band;
  band.colour = ColourOf(colour);
  for (auto& [iteration, bounds] : BoundsOf(run)) {
    std::vector<double> sorted = bounds;
    std::sort(sorted.begin(), sorted.end());
    median.points.push_back({iteration, Quantile(sorted, 0.5)});
    band.low.push_back({iteration, Quantile(sorted, 0.1)});
    band.high.push_back({iteration, Quantile(sorted, 0.9)});
  }
  if (median.points.empty()) return;
  curves->push_back(std::move(median));
  if (band.low.size() > 1) bands->push_back(std::move(band));
}

std::string BoundChart(const Runs& runs) {
  std::vector<Curve> curves;
  std::vector<Band> bands;
  for (size_t r = 0; r < runs.size(); ++r) AddBounds(runs[r], r, &curves, &bands);
  if (curves.empty()) {
    return Missing("There is no bound to show: no run derived bounds from its weight gradients.");
  }
  const bool few = bands.size() <= 2;
  if (!few) bands.clear();
  const Range range = RangeOf(curves, bands);
  LineChart chart = Base(std::move(curves));
  chart.title = "Error bound";
  chart.unit = few ? "median over layers; band: 10th to 90th percentile" : "median over layers";
  chart.bands = std::move(bands);
  chart.y = LogAxis(range.low, range.high);
  chart.value = [](double value) { return FormatSignificant(value, 2); };
  return ToHtml(MakeFigure(chart, kHalf));
}

}  // namespace

std::string RatioSection(const Runs& runs) {
  const bool any =
      std::any_of(runs.begin(), runs.end(), [](const RunData& run) { return run.compresses(); });
  if (!any) {
    return Section("ratio", "Ratio and error bound over time", "",
                   Missing("No run of this report compressed anything."));
  }
  return Section("ratio", "Ratio and error bound over time",
                 "Bounds are absolute errors of a value's elements, of those values whose bound "
                 "follows from the noise allowed in a weight gradient. Each layer's own course is "
                 "in the table above.",
                 Legend(runs, [](const RunData& run) { return !run.metrics.empty(); }) +
                     "<div class=\"pair\">" + RatioChart(runs) + BoundChart(runs) + "</div>\n");
}

std::string TradeSection(const Runs& runs) {
  constexpr char kHeading[] = "Accuracy against ratio";
  ScatterChart chart;
  std::vector<double> ratios, accuracies;
  for (size_t r = 0; r < runs.size(); ++r) {
    const double ratio = LastMetric(runs[r]).ratio, accuracy = TestAccuracy(runs[r]);
    if (!(ratio > 0) || !std::isfinite(accuracy)) continue;
    ratios.push_back(ratio);
    accuracies.push_back(accuracy);
    chart.points.push_back({ratio, accuracy, ColourOf(r), runs[r].label,
                            StrCat(runs[r].label, "\nratio: ", FormatRatio(ratio),
                                   "\ntest top-1: ", FormatFixed(accuracy, 2), "%")});
  }
  if (chart.points.size() < 2) {
    return Section("trade", kHeading, "",
                   Missing("This takes at least two runs that were evaluated: "
                           "encke report RUN RUN ..."));
  }
  const auto [low, high] = std::minmax_element(ratios.begin(), ratios.end());
  const auto [worst, best] = std::minmax_element(accuracies.begin(), accuracies.end());
  chart.title = "Test accuracy";
  chart.unit = "top-1 at the end, a dot for each run";
  chart.radius = 6.5;
  chart.x = LogAxis(*low, *high);
  chart.x.label = [](double value) { return FormatSignificant(value, 1) + "x"; };
  chart.y = LinearAxis(*worst - 0.5, *best + 0.5, 5);
  chart.y.label = [label = chart.y.label](double value) { return label(value) + "%"; };
  chart.x_name = "ratio, raw over stored →";
  chart.y_name = "top-1";
  return Section("trade", kHeading,
                 "Up is more accurate, right is smaller. A single pair of runs "
                 "differs by the seed's noise as well.",
                 ToHtml(MakeFigure(chart, {960, 340, false}, {360, 300, true})));
}

}  // namespace encke::cli::report
