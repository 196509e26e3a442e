#include "tools/encke/format.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>

namespace encke::cli {
namespace {

template <typename... Args>
std::string Print(const char* format, Args... args) {
  char text[64];
  std::snprintf(text, sizeof(text), format, args...);
  return text;
}

bool StartsCodePoint(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

// Byte offset of code point number `count`, or the size.
size_t OffsetOf(const std::string& utf8, int64_t count) {
  for (size_t i = 0; i < utf8.size(); ++i) {
    if (StartsCodePoint(utf8[i]) && count-- == 0) return i;
  }
  return utf8.size();
}

double MeanOfFinite(const std::vector<double>& values, size_t begin, size_t end) {
  double sum = 0;
  int64_t count = 0;
  for (size_t i = begin; i < end; ++i) {
    if (!std::isfinite(values[i])) continue;
    sum += values[i];
    ++count;
  }
  return count > 0 ? sum / static_cast<double>(count) : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

std::string FormatCount(int64_t count) {
  std::string digits = std::to_string(count);
  const int64_t first = count < 0 ? 1 : 0;
  for (auto i = static_cast<int64_t>(digits.size()) - 3; i > first; i -= 3) {
    digits.insert(static_cast<size_t>(i), ",");
  }
  return digits;
}

std::string FormatSi(double value) {
  static constexpr std::array<const char*, 6> kPrefixes = {"", " k", " M", " G", " T", " P"};
  size_t prefix = 0;
  while (std::abs(value) >= 999.5 && prefix + 1 < kPrefixes.size()) {
    value /= 1000;
    ++prefix;
  }
  const double size = std::abs(value);
  const int decimals = prefix == 0 ? 0 : size < 9.995 ? 2 : size < 99.95 ? 1 : 0;
  return Print("%.*f%s", decimals, value, kPrefixes[prefix]);
}

std::string FormatDuration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "-";
  if (seconds < 9.95) return Print("%.1fs", seconds);
  const auto total = static_cast<long long>(std::llround(seconds));
  if (total < 60) return Print("%llds", total);
  if (total < 3600) return Print("%lldm %02llds", total / 60, total % 60);
  return Print("%lldh %02lldm", total / 3600, total / 60 % 60);
}

std::string FormatSigned(double value, int decimals) {
  return std::isfinite(value) ? Print("%+.*f", decimals, value) : "-";
}

std::string FormatSignificant(double value, int digits) {
  if (!std::isfinite(value)) return "-";
  const double size = std::abs(value);
  if (size >= 1e6 || (size > 0 && size < 1e-4)) return Print("%.*e", digits - 1, value);
  const int exponent = size > 0 ? static_cast<int>(std::floor(std::log10(size))) : 0;
  return Print("%.*f", std::max(0, digits - 1 - exponent), value);
}

std::string FormatRatio(double ratio) {
  if (!std::isfinite(ratio) || ratio <= 0) return "-";
  return Print("%.*fx", ratio < 9.95 ? 2 : ratio < 99.5 ? 1 : 0, ratio);
}

int64_t DisplayWidth(const std::string& utf8) {
  return std::count_if(utf8.begin(), utf8.end(), StartsCodePoint);
}

std::string Shorten(const std::string& utf8, int64_t width) {
  const int64_t length = DisplayWidth(utf8);
  if (length <= width || width < 1) return utf8;
  const int64_t head = (width - 1) / 2;
  const int64_t tail = width - 1 - head;
  return utf8.substr(0, OffsetOf(utf8, head)) + "…" + utf8.substr(OffsetOf(utf8, length - tail));
}

std::string Sparkline(const std::vector<double>& values, int width) {
  static constexpr std::array<const char*, 8> kBlocks = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const size_t groups = std::min<size_t>(values.size(), static_cast<size_t>(std::max(width, 0)));
  std::vector<double> means;
  for (size_t i = 0; i < groups; ++i) {
    means.push_back(
        MeanOfFinite(values, values.size() * i / groups, values.size() * (i + 1) / groups));
  }
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const double mean : means) {
    if (!std::isfinite(mean)) continue;
    low = std::min(low, mean);
    high = std::max(high, mean);
  }
  std::string line;
  for (const double mean : means) {
    const double part = high > low ? (mean - low) / (high - low) : 0.5;
    const auto level = std::isfinite(mean) ? static_cast<size_t>(part * 7 + 0.5) : 0;
    line += std::isfinite(mean) ? kBlocks[level] : " ";
  }
  return line;
}

}  // namespace encke::cli
