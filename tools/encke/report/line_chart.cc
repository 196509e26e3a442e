#include "tools/encke/report/line_chart.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <numeric>

#include "engine/core/error.h"
#include "tools/encke/format.h"

namespace encke::cli::report {
namespace {

constexpr double kLabelGap = 14;  // between the baselines of labels, in pixels

std::string RunClass(const std::string& css, int colour) { return StrCat(css, " run", colour); }

Point Place(const LineChart& chart, const Plot& plot, const Point& point) {
  return {chart.x.Place(point.x, plot.left, plot.right),
          chart.y.Place(point.y, plot.bottom, plot.top)};
}

std::vector<Point> PlaceAll(const LineChart& chart, const Plot& plot,
                            const std::vector<Point>& points) {
  std::vector<Point> placed;
  for (const Point& point : points) placed.push_back(Place(chart, plot, point));
  return placed;
}

void DrawBand(const LineChart& chart, const Plot& plot, const Band& band, Svg* svg) {
  std::vector<Point> outline = PlaceAll(chart, plot, band.high);
  const std::vector<Point> low = PlaceAll(chart, plot, band.low);
  outline.insert(outline.end(), low.rbegin(), low.rend());
  svg->Polyline(outline, RunClass("band", band.colour));
}

void DrawCurve(const LineChart& chart, const Plot& plot, const Curve& curve, Svg* svg) {
  const std::vector<Point> points = PlaceAll(chart, plot, curve.points);
  const bool is_line = curve.style == Curve::Style::LINE;
  if (is_line && points.size() > 1) {
    svg->Polyline(points, RunClass("halo", curve.colour));
    svg->Polyline(points, RunClass("curve", curve.colour));
    return;
  }
  for (const Point& point : points) svg->Circle(point, 4.5, RunClass("dot", curve.colour));
}

// The last value of each line, beside its end.
void DrawEndLabels(const LineChart& chart, const Plot& plot, Svg* svg) {
  std::vector<const Curve*> curves;
  for (const Curve& curve : chart.curves) {
    if (curve.style == Curve::Style::LINE && !curve.points.empty()) curves.push_back(&curve);
  }
  const auto end_of = [&](const Curve* curve) { return Place(chart, plot, curve->points.back()); };
  std::stable_sort(curves.begin(), curves.end(),
                   [&](const Curve* a, const Curve* b) { return end_of(a).y < end_of(b).y; });
  std::vector<double> places;
  for (const Curve* curve : curves) places.push_back(end_of(curve).y + 4);
  places = SpreadOut(places, kLabelGap, plot.top + 8, plot.bottom);
  for (size_t i = 0; i < curves.size(); ++i) {
    const double value = curves[i]->points.back().y;
    svg->Text({end_of(curves[i]).x + 7, places[i]}, chart.value(value),
              RunClass("end", curves[i]->colour));
  }
}

void DrawMarks(const LineChart& chart, const Plot& plot, Svg* svg) {
  for (const Mark& mark : chart.marks) {
    const double x = chart.x.Place(mark.x, plot.left, plot.right);
    svg->Line({x, plot.top}, {x, plot.bottom}, "mark");
    svg->Text({x - 4, plot.top + 10}, mark.label, "tick", Anchor::END);
  }
}

std::string Draw(const LineChart& chart, const Canvas& canvas) {
  Svg svg(canvas, chart.title);
  Margins margins;
  margins.bottom = 40;
  const Plot plot = PlotOf(canvas, margins);
  DrawGrid(chart.x, chart.y, plot, &svg);
  svg.Text({(plot.left + plot.right) / 2, canvas.height - 4}, chart.x_unit, "name", Anchor::MIDDLE);
  DrawMarks(chart, plot, &svg);
  for (const Band& band : chart.bands) DrawBand(chart, plot, band, &svg);
  for (const Curve& curve : chart.curves) DrawCurve(chart, plot, curve, &svg);
  DrawEndLabels(chart, plot, &svg);
  return svg.Finish();
}

Tips TipsOf(const LineChart& chart) {
  std::map<double, std::string> lines;
  for (const Curve& curve : chart.curves) {
    for (const Point& point : curve.points) {
      lines[point.x] += StrCat("\n", curve.name, ": ", chart.value(point.y));
    }
  }
  Tips tips;
  for (const auto& [x, text] : lines) {
    tips.at.push_back(chart.x.Place(x, 0, 1));
    const std::string more = chart.after_x ? chart.after_x(x) : "";
    tips.text.push_back(StrCat(chart.x_unit, " ", chart.x.label(x), more, text));
  }
  return tips;
}

}  // namespace

std::vector<Point> Thin(const std::vector<Point>& points, size_t most) {
  if (points.size() <= most) return points;
  std::vector<Point> thin;
  for (size_t i = 0; i < most; ++i) {
    const size_t begin = points.size() * i / most, end = points.size() * (i + 1) / most;
    Point mean;
    for (size_t p = begin; p < end; ++p) {
      mean.x += points[p].x / static_cast<double>(end - begin);
      mean.y += points[p].y / static_cast<double>(end - begin);
    }
    thin.push_back(mean);
  }
  return thin;
}

Range RangeOf(const std::vector<Curve>& curves, const std::vector<Band>& bands) {
  std::vector<double> all;
  for (const Curve& curve : curves) {
    for (const Point& point : curve.points) all.push_back(point.y);
  }
  for (const Band& band : bands) {
    for (const Point& point : band.low) all.push_back(point.y);
    for (const Point& point : band.high) all.push_back(point.y);
  }
  ENCKE_CHECK(!all.empty());
  const auto [low, high] = std::minmax_element(all.begin(), all.end());
  return {*low, *high};
}

Figure MakeFigure(const LineChart& chart, const Canvas& wide) {
  Figure figure;
  figure.title = chart.title;
  figure.unit = chart.unit;
  figure.wide = wide;
  figure.tips = TipsOf(chart);
  figure.draw = [chart](const Canvas& canvas) { return Draw(chart, canvas); };
  return figure;
}

Plot PlotOf(const Canvas& canvas, const Margins& margins) {
  return {margins.left, canvas.width - margins.right, margins.top, canvas.height - margins.bottom};
}

void DrawGrid(const Axis& x, const Axis& y, const Plot& plot, Svg* svg) {
  svg->Rectangle({plot.left, plot.top}, plot.right - plot.left, plot.bottom - plot.top, "plot");
  for (const double tick : y.ticks) {
    const double at = y.Place(tick, plot.bottom, plot.top);
    const bool is_base = tick == y.low;
    svg->Line({plot.left, at}, {plot.right, at}, is_base ? "base" : "grid");
    svg->Text({plot.left - 8, at + 4}, y.label(tick), "tick", Anchor::END);
  }
  double written_to = -INFINITY;  // labels that do not fit are left out
  for (const double tick : x.ticks) {
    const double at = x.Place(tick, plot.left, plot.right);
    svg->Line({at, plot.bottom}, {at, plot.bottom + 4}, "base");
    const double half = kCharacter * static_cast<double>(DisplayWidth(x.label(tick))) / 2;
    if (at - half < written_to) continue;
    svg->Text({at, plot.bottom + 18}, x.label(tick), "tick", Anchor::MIDDLE);
    written_to = at + half + kCharacter;
  }
}

std::vector<double> SpreadOut(std::vector<double> places, double gap, double low, double high) {
  for (size_t i = 0; i < places.size(); ++i) {
    places[i] = std::max(places[i], i == 0 ? low : places[i - 1] + gap);
  }
  for (size_t i = places.size(); i-- > 0;) {
    places[i] = std::min(places[i], i + 1 == places.size() ? high : places[i + 1] - gap);
  }
  return places;
}

}  // namespace encke::cli::report
