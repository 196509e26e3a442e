#include "tools/encke/report/axis.h"

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "tools/encke/format.h"

namespace encke::cli::report {
namespace {

// The smallest of 1, 2, 5 times a power of ten that is not below `least`.
double RoundStep(double least) {
  const double power = std::pow(10.0, std::floor(std::log10(least)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= least * (1 - 1e-9)) return factor * power;
  }
  return 10 * power;
}

int DecimalsFor(double step) {
  return std::max(0, -static_cast<int>(std::floor(std::log10(step) + 1e-9)));
}

void FillTicks(double step, Axis* axis) {
  for (auto i = static_cast<int64_t>(std::ceil(axis->low / step - 1e-9));
       static_cast<double>(i) * step <= axis->high + step * 1e-9; ++i) {
    axis->ticks.push_back(static_cast<double>(i) * step);
  }
}

std::string Grouped(double value, double step) {
  const int decimals = DecimalsFor(step);
  return decimals == 0 ? FormatCount(std::llround(value)) : FormatFixed(value, decimals);
}

// 0.0002 -> "2·10⁻⁴", 0.001 -> "10⁻³"; of values with one significant digit.
std::string Power(double value) {
  static constexpr const char* kDigits[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
  const int exponent = static_cast<int>(std::floor(std::log10(value) + 1e-9));
  std::string raised;
  for (const char digit : std::to_string(std::abs(exponent))) raised += kDigits[digit - '0'];
  const auto factor = std::llround(value / std::pow(10.0, exponent));
  return StrCat(factor == 1 ? "" : StrCat(factor, "·"), "10", exponent < 0 ? "⁻" : "", raised);
}

}  // namespace

double Axis::Place(double value, double from, double to) const {
  if (high == low) return (from + to) / 2;
  const double part =
      log ? std::log(value / low) / std::log(high / low) : (value - low) / (high - low);
  return from + part * (to - from);
}

Axis LinearAxis(double low, double high, int ticks) {
  if (high == low) high = low + std::max(std::abs(low) * 0.1, 1e-9);
  const double step = RoundStep((high - low) / ticks);
  Axis axis;
  axis.low = std::floor(low / step + 1e-9) * step;
  axis.high = std::ceil(high / step - 1e-9) * step;
  FillTicks(step, &axis);
  axis.label = [step](double value) { return Grouped(value, step); };
  return axis;
}

Axis CountAxis(double high, int ticks) {
  const double step = std::max(1.0, RoundStep(std::max(high, 1.0) / ticks));
  Axis axis;
  axis.high = std::max(high, 1.0);
  FillTicks(step, &axis);
  axis.label = [](double value) { return FormatCount(std::llround(value)); };
  return axis;
}

Axis ByteAxis(double high, int ticks) {
  static constexpr const char* kUnits[] = {" B", " KiB", " MiB", " GiB", " TiB"};
  double unit = 1;
  size_t name = 0;
  for (; high / unit >= 900 && name < 4; ++name) unit *= 1024;  // no ticks of 1,000 MiB and more
  Axis scaled = LinearAxis(0, std::max(high / unit, 1e-9), ticks);
  const double step = scaled.ticks.size() > 1 ? scaled.ticks[1] : 1;
  Axis axis;
  axis.high = scaled.high * unit;
  for (const double tick : scaled.ticks) axis.ticks.push_back(tick * unit);
  axis.label = [unit, step, name](double value) {
    return value == 0 ? "0" : Grouped(value / unit, step) + kUnits[name];
  };
  return axis;
}

Axis LogAxis(double low, double high) {
  const double first = std::floor(std::log10(low) + 1e-9);
  const double last = std::ceil(std::log10(high) - 1e-9);
  const bool fine = std::log10(high / low) < 2.5;
  std::vector<double> candidates;
  for (double e = first; e <= last; ++e) {
    for (const double factor : {1.0, 2.0, 5.0}) {
      if (factor == 1.0 || fine) candidates.push_back(factor * std::pow(10.0, e));
    }
  }
  Axis axis;
  axis.log = true;
  axis.low = candidates.front();
  axis.high = candidates.back();
  for (const double tick : candidates) {
    if (tick <= low * (1 + 1e-9)) axis.low = tick;
  }
  for (auto tick = candidates.rbegin(); tick != candidates.rend(); ++tick) {
    if (*tick >= high * (1 - 1e-9)) axis.high = *tick;
  }
  for (const double tick : candidates) {
    if (tick >= axis.low && tick <= axis.high) axis.ticks.push_back(tick);
  }
  const bool plain = axis.low > 0.9e-3 && axis.high < 1.1e4;
  axis.label = [plain](double value) { return plain ? FormatSignificant(value, 1) : Power(value); };
  return axis;
}

}  // namespace encke::cli::report
