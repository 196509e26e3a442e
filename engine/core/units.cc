#include "engine/core/units.h"

#include <array>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "engine/core/error.h"

namespace encke {
namespace {

std::string LowerWithoutSpaces(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (!std::isspace(static_cast<unsigned char>(c))) {
      result += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
  }
  return result;
}

// The factor of a unit in lower case ("", "b", "kib", "mb", "g", ...); 0 for anything else.
double UnitFactor(const std::string& unit) {
  if (unit.empty() || unit == "b") return 1;
  const std::string prefixes = "kmgt";
  const size_t power = prefixes.find(unit[0]);
  if (power == std::string::npos) return 0;
  const std::string rest = unit.substr(1);
  if (rest.empty() || rest == "ib") return std::pow(1024.0, static_cast<double>(power) + 1);
  if (rest == "b") return std::pow(1000.0, static_cast<double>(power) + 1);
  return 0;
}

}  // namespace

std::string FormatBytes(int64_t bytes) {
  static constexpr std::array<const char*, 6> kUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (std::abs(value) >= 999.5 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  const double size = std::abs(value);
  const int decimals = unit == 0 ? 0 : size < 9.995 ? 2 : size < 99.95 ? 1 : 0;
  char text[48];
  std::snprintf(text, sizeof(text), "%.*f %s", decimals, value, kUnits[unit]);
  return text;
}

std::string FormatFixed(double value, int decimals) {
  if (!std::isfinite(value)) return "-";
  char text[400];  // the greatest double has 309 digits
  std::snprintf(text, sizeof(text), "%.*f", decimals, value);
  return text;
}

int64_t ParseBytes(const std::string& text) {
  const std::string compact = LowerWithoutSpaces(text);
  char* end = nullptr;
  const double number = std::strtod(compact.c_str(), &end);
  const double factor = UnitFactor(end);
  if (end == compact.c_str() || factor == 0 || !(number >= 0) || number * factor > 9e18) {
    throw Error(ErrorKind::USAGE, StrCat("\"", text, "\" is not a size in bytes"), "",
                "write it like 2GiB, 500MB or 1073741824");
  }
  return static_cast<int64_t>(std::llround(number * factor));
}

}  // namespace encke
