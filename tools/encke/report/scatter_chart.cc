#include "tools/encke/report/scatter_chart.h"

#include <algorithm>

#include "engine/core/error.h"
#include "tools/encke/format.h"
#include "tools/encke/report/line_chart.h"

namespace encke::cli::report {
namespace {

Point Place(const ScatterChart& chart, const Plot& plot, double x, double y) {
  return {chart.x.Place(x, plot.left, plot.right), chart.y.Place(y, plot.bottom, plot.top)};
}

// The line y = factor * x, cut where it leaves the plot at its top or bottom.
std::vector<Point> Diagonal(const ScatterChart& chart, const Plot& plot, double factor) {
  const double low = std::max(chart.x.low, chart.y.low / factor);
  const double high = std::min(chart.x.high, chart.y.high / factor);
  return {Place(chart, plot, low, low * factor), Place(chart, plot, high, high * factor)};
}

void DrawBand(const ScatterChart& chart, const Plot& plot, Svg* svg) {
  if (chart.band_low <= 0) return;
  std::vector<Point> outline = Diagonal(chart, plot, chart.band_high);
  const std::vector<Point> low = Diagonal(chart, plot, chart.band_low);
  outline.push_back(Place(chart, plot, chart.x.high, chart.y.high));
  outline.insert(outline.end(), low.rbegin(), low.rend());
  outline.push_back(Place(chart, plot, chart.x.low, chart.y.low));
  svg->Polyline(outline, "zone");
  svg->Polyline(Diagonal(chart, plot, 1), "diagonal");
}

void DrawNames(const ScatterChart& chart, const Plot& plot, const Canvas& canvas, Svg* svg) {
  svg->Text({(plot.left + plot.right) / 2, canvas.height - 4}, chart.x_name, "name",
            Anchor::MIDDLE);
  svg->Text({2, 12}, "↑ " + chart.y_name, "name");
}

void DrawPoints(const ScatterChart& chart, const Plot& plot, Svg* svg) {
  for (const ScatterPoint& point : chart.points) {
    svg->Circle(Place(chart, plot, point.x, point.y), chart.radius, StrCat("dot run", point.colour),
                point.tip);
  }
}

// Beside the points, below one another where they would meet.
void DrawLabels(const ScatterChart& chart, const Plot& plot, Svg* svg) {
  std::vector<const ScatterPoint*> labelled;
  for (const ScatterPoint& point : chart.points) {
    if (!point.label.empty()) labelled.push_back(&point);
  }
  const auto at = [&](const ScatterPoint* p) { return Place(chart, plot, p->x, p->y); };
  std::stable_sort(labelled.begin(), labelled.end(),
                   [&](const auto* a, const auto* b) { return at(a).y < at(b).y; });
  std::vector<double> places;
  for (const ScatterPoint* point : labelled) places.push_back(at(point).y + 4);
  places = SpreadOut(places, 15, plot.top + 8, plot.bottom - 4);
  for (size_t i = 0; i < labelled.size(); ++i) {
    const double x = at(labelled[i]).x;
    const bool is_right = x > plot.left + 0.6 * (plot.right - plot.left);
    svg->Text({x + (is_right ? -10 : 10), places[i]}, labelled[i]->label,
              StrCat("end run", labelled[i]->colour), is_right ? Anchor::END : Anchor::START);
  }
}

std::string Draw(const ScatterChart& chart, const Canvas& canvas) {
  Svg svg(canvas, chart.title);
  Margins margins;
  margins.top = 26;
  margins.right = 20;
  margins.bottom = 40;
  const Plot plot = PlotOf(canvas, margins);
  DrawGrid(chart.x, chart.y, plot, &svg);
  DrawNames(chart, plot, canvas, &svg);
  DrawBand(chart, plot, &svg);
  DrawPoints(chart, plot, &svg);
  DrawLabels(chart, plot, &svg);
  return svg.Finish();
}

}  // namespace

Figure MakeFigure(const ScatterChart& chart, const Canvas& wide, const Canvas& narrow) {
  Figure figure;
  figure.title = chart.title;
  figure.unit = chart.unit;
  figure.wide = wide;
  figure.narrow = narrow;
  figure.draw = [chart](const Canvas& canvas) { return Draw(chart, canvas); };
  return figure;
}

}  // namespace encke::cli::report
