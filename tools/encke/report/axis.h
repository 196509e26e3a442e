// Axes with round ticks.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace encke::cli::report {

struct Axis {
  double low = 0, high = 1;
  bool log = false;
  std::vector<double> ticks;  // ascending, within [low, high]
  std::function<std::string(double)> label;

  // Where between `from` (for low) and `to` (for high) a value lies; beyond them outside.
  double Place(double value, double from, double to) const;
};

// Steps of 1, 2 or 5 times a power of ten, about `ticks` of them; the ends are rounded outwards.
// REQUIRES: low <= high, finite.
Axis LinearAxis(double low, double high, int ticks);
// From 0 to exactly `high`, ticks inside: iterations, steps.
Axis CountAxis(double high, int ticks);
// From 0; steps are round in the unit that their labels have: KiB, MiB, GiB.
Axis ByteAxis(double high, int ticks);
// Powers of ten and, where these are few, 2 and 5 times them; the ends are rounded outwards to
// ticks. Labels are powers ("2·10⁻⁴") where plain numbers would be long. REQUIRES: 0 < low <= high.
Axis LogAxis(double low, double high);

}  // namespace encke::cli::report
