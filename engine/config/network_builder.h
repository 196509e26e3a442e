// config::Network -> Graph.
#pragma once

#include <optional>

#include "engine/config/config.h"

namespace encke {

// Builds the network of `file`; mistakes go to `diagnostics`, and then there is no graph.
std::optional<Graph> BuildNetwork(const ConfigFile& file, Diagnostics* diagnostics);

}  // namespace encke
