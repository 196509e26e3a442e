// Numbers as people read them, beside those of engine/core/units.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/core/units.h"

namespace encke::cli {

// 25557032 -> "25,557,032"
std::string FormatCount(int64_t count);
// 4089184256 -> "4.09 G"; below 1000 the number itself.
std::string FormatSi(double value);
// 3.25 -> "3.2s", 77 -> "1m 17s", 7500 -> "2h 05m"; "-" when not finite or negative.
std::string FormatDuration(double seconds);
// FormatFixed with the sign always shown.
std::string FormatSigned(double value, int decimals);
// `digits` significant digits, in plain notation where that is short: 0.000123, 1.2e-07, 4510.
std::string FormatSignificant(double value, int digits);
// 9.81 -> "9.81x", 98.1 -> "98.1x", 128.4 -> "128x"; "-" when not finite or not positive.
std::string FormatRatio(double ratio);
// How long a text is on the screen: UTF-8 code points.
int64_t DisplayWidth(const std::string& utf8);
// The text cut to `width` columns, the middle replaced by "…"; unchanged where it fits.
std::string Shorten(const std::string& utf8, int64_t width);

// Values over time as block characters, the lowest ▁ and the highest █. More values than `width`
// are averaged in equal groups; values that are not finite leave a blank.
std::string Sparkline(const std::vector<double>& values, int width);

}  // namespace encke::cli
