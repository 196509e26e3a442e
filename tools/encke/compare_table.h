// Modes of `encke compare` and the table of their results.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace encke::cli {

// One column of the comparison: how saved values are kept.
struct ModeSpec {
  std::string name;                    // as the user wrote it
  std::vector<std::string> overrides;  // of the config
};

// "raw", "encke", or with settings of `activations`: "encke:tolerance=0.1:relu.codec=dense"; any
// other path is a full one ("encke:training.batch=32"). Error(USAGE) for anything else.
ModeSpec ParseMode(const std::string& text);

// The results as rows of figures, one column a mode, and for every mode but the reference ("raw" if
// it is there, else the first) what it is relative to that. `modes` in the order of `names`.
std::string CompareTable(const std::vector<std::string>& names,
                         const std::vector<nlohmann::ordered_json>& modes,
                         const std::string& memory_limit);

}  // namespace encke::cli
