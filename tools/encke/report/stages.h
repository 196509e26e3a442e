// Groups of neighbouring layers, so that long networks can be surveyed.
#pragma once

#include <string>
#include <vector>

namespace encke::cli::report {

struct Stage {
  std::string name;            // "layer1", or the only layer's own name
  size_t first = 0, last = 0;  // of the layers, both included
};

// Consecutive layers that share what stands before the first dot of their names (the second, where
// all share the first: "features.3"), and consecutive ones without a dot. Layers are named in the
// order of their steps.
std::vector<Stage> StagesOf(const std::vector<std::string>& layers);

}  // namespace encke::cli::report
