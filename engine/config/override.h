// `--set a.b=value` on a merged config.
#pragma once

#include <string>

#include "engine/config/parser.h"

namespace encke {

// Applies one override: "training.batch=32", "data.mean=0.5,0.4,0.3" (a list replaces the list),
// "network.step[3].conv.out=64". Texts need no quotes. Mistakes go to `diagnostics`.
void ApplyOverride(const std::string& text, ParsedConfig* parsed, Diagnostics* diagnostics);

}  // namespace encke
