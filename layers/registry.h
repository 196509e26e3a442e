// The layer types that exist, for help texts and checks.
#pragma once

#include <string>
#include <vector>

namespace encke {

struct LayerType {
  const char* name;         // Layer::type()
  const char* description;  // one line
};

// In the order in which help shows them.
std::vector<LayerType> LayerTypes();
bool IsLayerType(const std::string& name);

}  // namespace encke
