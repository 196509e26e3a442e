// Two or more tensors side by side along the channels, in order.
#pragma once

#include <memory>

#include "layers/layer.h"

namespace encke {

std::unique_ptr<Layer> NewConcat();

}  // namespace encke
