// Curves over iterations.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tools/encke/report/axis.h"
#include "tools/encke/report/svg.h"

namespace encke::cli::report {

struct Curve {
  enum class Style { LINE, DOTS };
  std::string name;  // for tips
  int colour = 0;    // of the run
  Style style = Style::LINE;
  std::vector<Point> points;  // by x, finite
};

// The spread around a curve.
struct Band {
  int colour = 0;
  std::vector<Point> low, high;  // the same x
};

struct Mark {
  double x = 0;
  std::string label;
};

struct LineChart {
  std::string title, unit;
  Axis x, y;
  std::string x_unit;  // "iteration", names the axis and the tips
  std::vector<Curve> curves;
  std::vector<Band> bands;
  std::vector<Mark> marks;                     // vertical lines: epochs
  std::function<std::string(double)> value;    // a y as text, at the curves' ends and in tips
  std::function<std::string(double)> after_x;  // more about an x for the tips; may be empty
};

// Curves of more than `most` points are thinned to the means of equal groups.
std::vector<Point> Thin(const std::vector<Point>& points, size_t most = 400);

// The narrowest axis that holds every curve and band; REQUIRES: there is a point.
struct Range {
  double low, high;
};
Range RangeOf(const std::vector<Curve>& curves, const std::vector<Band>& bands = {});

Figure MakeFigure(const LineChart& chart, const Canvas& wide);

// Grid lines with their labels, and the plot's area. Shared by the charts.
struct Plot {
  double left, right, top, bottom;
};
Plot PlotOf(const Canvas& canvas, const Margins& margins);
void DrawGrid(const Axis& x, const Axis& y, const Plot& plot, Svg* svg);

// Moves places apart until they are `gap` from each other, keeping their order.
std::vector<double> SpreadOut(std::vector<double> places, double gap, double low, double high);

}  // namespace encke::cli::report
