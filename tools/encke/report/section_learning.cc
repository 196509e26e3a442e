// Loss and accuracy over the iterations.
#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "engine/core/error.h"
#include "tools/encke/format.h"
#include "tools/encke/report/line_chart.h"
#include "tools/encke/report/sections.h"

namespace encke::cli::report {
namespace {

constexpr Canvas kHalf{480, 320, false};

double LastIteration(const Runs& runs) {
  double last = 0;
  for (const RunData& run : runs) last = std::max(last, 1.0 * LastMetric(run).iteration);
  return last;
}

// Training as a line, tests as dots.
std::vector<Curve> CurvesOf(const Runs& runs, double MetricPoint::*trained,
                            double EvaluationPoint::*tested) {
  std::vector<Curve> curves;
  for (size_t r = 0; r < runs.size(); ++r) {
    const std::string prefix = runs.size() > 1 ? runs[r].label + ", " : "";
    Curve train{prefix + "training", ColourOf(r), Curve::Style::LINE, {}};
    for (const MetricPoint& point : runs[r].metrics) {
      if (std::isfinite(point.*trained))
        train.points.push_back({1.0 * point.iteration, point.*trained});
    }
    train.points = Thin(train.points);
    Curve test{prefix + "test", ColourOf(r), Curve::Style::DOTS, {}};
    for (const EvaluationPoint& point : runs[r].evaluations) {
      if (std::isfinite(point.*tested))
        test.points.push_back({1.0 * point.iteration, point.*tested});
    }
    for (Curve* curve : {&train, &test}) {
      if (!curve->points.empty()) curves.push_back(std::move(*curve));
    }
  }
  return curves;
}

// Iterations of an epoch, by the first run; 0 where that is not known.
double EpochLength(const Runs& runs) {
  const MetricPoint last = LastMetric(runs.front());
  return last.epoch > 0 ? static_cast<double>(last.iteration) / last.epoch : 0;
}

std::vector<Mark> EpochMarks(double length, double last) {
  constexpr double kMost = 8;
  std::vector<Mark> marks;
  if (length <= 0 || last < length) return marks;
  const double step = std::ceil(last / length / kMost);
  for (double epoch = step; epoch * length <= last * (1 + 1e-9); epoch += step) {
    marks.push_back({epoch * length, "epoch " + FormatFixed(epoch, 0)});
  }
  return marks;
}

LineChart Base(const Runs& runs, std::vector<Curve> curves) {
  LineChart chart;
  chart.x = CountAxis(LastIteration(runs), 5);
  for (const Curve& curve : curves) chart.x.high = std::max(chart.x.high, curve.points.back().x);
  chart.x_unit = "iteration";
  chart.curves = std::move(curves);
  const double length = EpochLength(runs);
  chart.marks = EpochMarks(length, chart.x.high);
  if (length > 0) {
    chart.after_x = [length](double x) { return ", epoch " + FormatFixed(x / length, 2); };
  }
  return chart;
}

std::string LossChart(const Runs& runs) {
  std::vector<Curve> curves = CurvesOf(runs, &MetricPoint::loss, &EvaluationPoint::loss);
  if (curves.empty()) return Missing("No finite loss was logged.");
  const Range range = RangeOf(curves);
  LineChart chart = Base(runs, std::move(curves));
  chart.title = "Loss";
  chart.unit = "mean of a log interval; dots: test data";
  chart.y = LinearAxis(std::min(0.0, range.low), range.high, 5);
  chart.value = [](double value) { return FormatFixed(value, 3); };
  return ToHtml(MakeFigure(chart, kHalf));
}

std::string AccuracyChart(const Runs& runs) {
  std::vector<Curve> curves = CurvesOf(runs, &MetricPoint::top1, &EvaluationPoint::top1);
  if (curves.empty()) return Missing("No accuracy was logged.");
  const Range range = RangeOf(curves);
  LineChart chart = Base(runs, std::move(curves));
  chart.title = "Top-1 accuracy";
  chart.unit = "percent; dots: test data";
  chart.y = LinearAxis(range.low, range.high, 5);
  chart.y.label = [](double value) { return FormatFixed(value, 0) + "%"; };
  chart.value = [](double value) { return FormatFixed(value, 1) + "%"; };
  return ToHtml(MakeFigure(chart, kHalf));
}

}  // namespace

std::string LearningSection(const Runs& runs) {
  const bool any = std::any_of(runs.begin(), runs.end(), [](const RunData& run) {
    return !run.metrics.empty() || !run.evaluations.empty();
  });
  if (!any) {
    return Section(
        "learning", "Learning", "",
        Missing("No metrics were logged: the run was shorter than activations.log_every, "
                "or metrics.jsonl is missing."));
  }
  return Section("learning", "Learning", "",
                 Legend(runs, [](const RunData& run) { return !run.metrics.empty(); }) +
                     "<div class=\"pair\">" + LossChart(runs) + AccuracyChart(runs) + "</div>\n");
}

}  // namespace encke::cli::report
