// Every saved value of a run in a table: bytes raw and stored, ratio and bound with their course.
#pragma once

#include <string>

#include "tools/encke/report/run_data.h"

namespace encke::cli::report {

// In the order of the network, grouped by its stages; the page's script sorts and folds it. Values
// below a thousandth of all bytes (a batch norm's statistics, for instance) share the last row.
// REQUIRES: run.activations is not empty.
std::string LayerTable(const RunData& run);

}  // namespace encke::cli::report
