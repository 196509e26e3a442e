// The results of `encke bench codec` as tables, JSON and CSV. What was measured on a GPU has no
// columns, and empty cells of the CSV, for all threads.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tools/encke/codec_measurement.h"

namespace encke::cli {

// Sums over values. Speeds are of all bytes in all the time, not means of speeds.
struct CodecTotal {
  std::string codec, kind;  // kind "all": every value
  int64_t values = 0;
  int64_t raw_bytes = 0, stored_bytes = 0, violations = 0;
  double entropy_bytes = 0;
  double greatest_error = 0;  // over the bound
  CodecTimes one_thread;
  std::optional<CodecTimes> all_threads;

  double ratio() const {
    return static_cast<double>(raw_bytes) / static_cast<double>(stored_bytes);
  }
};

// By codec in order of appearance; for each a total of every kind there is, "all" last.
std::vector<CodecTotal> TotalsOf(const std::vector<CodecMeasurement>& measurements);

// A row for each value and codec. Error and violations of codecs that promise no bound are shown
// like the others', but named "outside".
std::string LayersText(const std::vector<CodecMeasurement>& measurements, int max_width);
std::string TotalsText(const std::vector<CodecTotal>& totals, int max_width);
nlohmann::ordered_json ToJson(const std::vector<CodecMeasurement>& measurements);
std::string ToCsv(const std::vector<CodecMeasurement>& measurements);

}  // namespace encke::cli
