// What a report shows of a run, read from the files of its directory (doc/formats.md). A file that
// is missing leaves its part empty; a damaged line is left out with a warning that names it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/memory.h"
#include "tools/encke/activation_log.h"

namespace encke::cli::report {

// A log interval. What the line does not say is kUnknown.
struct MetricPoint {
  int64_t iteration = 0;
  double epoch = kUnknown;
  double loss = kUnknown, top1 = kUnknown;  // means over the interval; percent
  double images_per_second = kUnknown;
  double raw_bytes = kUnknown, stored_bytes = kUnknown, ratio = kUnknown;
  double peak_bytes = kUnknown;  // total, so far
  double resident_peak = kUnknown;
};

struct EvaluationPoint {
  int64_t iteration = 0;
  double loss = kUnknown, top1 = kUnknown;
};

// What was held at a step of an iteration.
struct MemoryPoint {
  std::string action, layer;  // "backward", "layer1.0.conv1"
  std::array<double, kMemoryCategories> bytes{};
  double total = 0, in_use = 0, predicted_in_use = 0;
};

struct RunData {
  std::string path;
  std::string label;   // short and different from that of any other run of the report
  std::string config;  // text of config.textproto
  std::vector<MetricPoint> metrics;
  std::vector<EvaluationPoint> evaluations;
  int64_t memory_iteration = 0;
  std::vector<MemoryPoint> memory;
  std::vector<ActivationSeries> activations;
  std::vector<std::pair<std::string, std::string>> environment;  // of the last start
  std::vector<std::string> warnings;

  // Kept anything smaller than it was.
  bool compresses() const;
};

// Error(DATA) when `path` is not a run directory.
RunData ReadRun(const std::string& path);

// Labels from what differs between the runs: "raw", "encke dense", ...; the directory's name for a
// run alone.
void LabelRuns(std::vector<RunData>* runs);

}  // namespace encke::cli::report
