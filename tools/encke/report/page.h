// The whole report.
#pragma once

#include <string>

#include "tools/encke/report/sections.h"

namespace encke::cli::report {

// One HTML page that needs nothing else: style, script and charts are in it. REQUIRES: the runs
// are labelled, and there is at least one.
std::string Page(const Runs& runs);

}  // namespace encke::cli::report
