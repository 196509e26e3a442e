// Points in a plane of two measures.
#pragma once

#include <string>
#include <vector>

#include "tools/encke/report/axis.h"
#include "tools/encke/report/svg.h"

namespace encke::cli::report {

struct ScatterPoint {
  double x = 0, y = 0;
  int colour = 0;     // of the run
  std::string label;  // written beside the point, where not empty
  std::string tip;
};

struct ScatterChart {
  std::string title, unit;
  Axis x, y;
  std::string x_name, y_name;
  std::vector<ScatterPoint> points;
  double radius = 4;
  // With factors above 0: the diagonal and the band from low * x to high * x.
  double band_low = 0, band_high = 0;
};

Figure MakeFigure(const ScatterChart& chart, const Canvas& wide, const Canvas& narrow);

}  // namespace encke::cli::report
