// The parts of a report, as HTML. Each says in words what is not there.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tools/encke/report/run_data.h"

namespace encke::cli::report {

using Runs = std::vector<RunData>;

// REQUIRES for all: at least one run; the colour of a run is its place in the list.
std::string RunsSection(const Runs& runs);        // key figures side by side
std::string LearningSection(const Runs& runs);    // loss and accuracy over iterations
std::string MemorySection(const Runs& runs);      // one iteration, by category
std::string LayersSection(const Runs& runs);      // bytes of each saved value
std::string RatioSection(const Runs& runs);       // ratio and bound over iterations
std::string AuditSection(const Runs& runs);       // predicted against measured sigma
std::string TradeSection(const Runs& runs);       // accuracy against ratio
std::string ProvenanceSection(const Runs& runs);  // configuration, environment, warnings

// --- what they share

// `lede` is HTML, heading is text.
std::string Section(const std::string& id, const std::string& heading, const std::string& lede,
                    const std::string& content);
std::string Missing(const std::string& text);  // a note in the place of a chart
// The colours of the runs that are shown; "" for a single run.
std::string Legend(const Runs& runs, const std::function<bool(const RunData&)>& shown);
std::string Swatch(size_t run);  // a run's colour
int ColourOf(size_t run);        // its number in the style sheet
// The last accuracy on test data in percent; kUnknown where there was no evaluation.
double TestAccuracy(const RunData& run);
// The last log interval; all unknown where there is none.
MetricPoint LastMetric(const RunData& run);

}  // namespace encke::cli::report
