// What an iteration holds, step by step, stacked by category.
#pragma once

#include <string>

#include "tools/encke/report/run_data.h"
#include "tools/encke/report/svg.h"

namespace encke::cli::report {

// Step by step. REQUIRES: run.memory is not empty.
Figure MemoryFigure(const RunData& run);

// What is held at the step with the most in use, as a bar: HTML. `widest`: bytes of a full one.
std::string PeakBar(const RunData& run, double widest);

// The most that is in use in an iteration.
const MemoryPoint& PeakOf(const RunData& run);

// The colours' names, as HTML.
std::string MemoryLegend();

// "backward of layer1.0.conv1"
std::string Describe(const MemoryPoint& point);

}  // namespace encke::cli::report
