// What a network costs, layer by layer, before anything runs.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/graph/plan.h"

namespace encke::cli {

struct LayerSummary {
  std::string name, type;
  Shape output;                 // for the whole batch
  int64_t parameters = 0;       // trained scalars
  int64_t macs = 0;             // multiply-adds of forward for one image
  std::string saved;            // what backward will read of it, and how it is kept; "" nothing
  int64_t raw_saved_bytes = 0;  // uncompressed, for the whole batch
  int64_t predicted_saved_bytes = 0;
};

struct NetworkSummary {
  std::string name;
  int64_t batch = 0;
  bool compress = true;
  int64_t parameters = 0;
  int64_t macs = 0;  // for one image
  int64_t raw_saved_bytes = 0, predicted_saved_bytes = 0;
  int64_t predicted_offloaded_bytes = 0;  // of predicted_saved_bytes, in a file
  PeakPrediction peak;
  std::string choice;                 // how the peak was reached: slices, codec
  std::vector<std::string> rejected;  // Plan::rejected
  std::vector<LayerSummary> layers;   // first the input, then in order of execution
};

// REQUIRES: `plan` was made of `graph`.
NetworkSummary Summarize(const Graph& graph, const Plan& plan);

// Byte counts of each category by name, and their "total".
nlohmann::ordered_json MemoryToJson(const MemoryUse& use);
nlohmann::ordered_json ToJson(const NetworkSummary& summary);
// The tables for people, at most `width` columns wide where that can be had; 0 = any width.
std::string ToText(const NetworkSummary& summary, int width);

}  // namespace encke::cli
