// Finding the run directories that training has written.
#pragma once

#include <string>

namespace encke::cli {

// The newest run in `output` (its name starts with the time) that has come to write `file`; with
// `name` not empty only runs of that name. Error(USAGE) when there is none.
std::string NewestRun(const std::string& output, const std::string& name, const std::string& file);

}  // namespace encke::cli
