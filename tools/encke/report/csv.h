// Lines of comma-separated values.
#pragma once

#include <string>
#include <vector>

namespace encke::cli::report {

// The fields of a line by RFC 4180: quoted ones may hold commas and doubled quotes.
std::vector<std::string> SplitCsv(const std::string& line);

}  // namespace encke::cli::report
