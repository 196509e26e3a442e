// Checks of a recipe that the schema cannot express: ranges and combinations.
#pragma once

#include "engine/config/config.h"

namespace encke {

void CheckRecipe(const ConfigFile& file, Diagnostics* diagnostics);

}  // namespace encke
