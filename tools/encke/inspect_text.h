// How `encke inspect` shows saved values: as tables for people, as CSV for programs.
#pragma once

#include <string>
#include <vector>

#include "tools/encke/activation_log.h"

namespace encke::cli {

// Sorts by "ratio", "stored", "sigma" (measured over predicted) or "time", largest and then unknown
// ones last, or by "name".
void SortSeries(const std::string& key, std::vector<ActivationSeries>* series);

// One row a value, as of its last entry, and the totals; at most `width` columns wide where that
// can be had, 0 = any width.
std::string OverviewText(const std::vector<ActivationSeries>& series, int width);
// One value over the iterations: sparklines `width` wide, and the entries and audits.
std::string HistoryText(const ActivationSeries& series, int width);
// The newest audit of every layer, and how many of them measured between 0.8 and 1.25 times what
// was predicted; at most `width` columns wide where that can be had, 0 = any width. Error(DATA)
// when there was none.
std::string AuditText(const std::vector<ActivationSeries>& series, int width);
// All entries and audits, a header line first.
std::string CsvText(const std::vector<ActivationSeries>& series);

}  // namespace encke::cli
