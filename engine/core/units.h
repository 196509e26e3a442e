// Sizes and numbers as people write and read them.
#pragma once

#include <cstdint>
#include <string>

namespace encke {

// "0 B", "512 B", "1.50 KiB", "73.4 MiB": three significant digits in the largest unit below the
// value. Negative values keep their sign.
std::string FormatBytes(int64_t bytes);

// printf's %.*f; "-" when not finite.
std::string FormatFixed(double value, int decimals);

// Reads "2GiB", "1.5 GiB", "500MB", "300k" or a plain number of bytes, upper or lower case. KiB and
// K are 1024, KB is 1000, and so on up to T. Anything else is an Error(USAGE) without place.
int64_t ParseBytes(const std::string& text);

}  // namespace encke
