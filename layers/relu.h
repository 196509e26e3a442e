// Rectified linear unit, y = max(x, 0). Backward reads only where the output was positive.
#pragma once

#include <memory>

#include "layers/layer.h"

namespace encke {

std::unique_ptr<Layer> NewRelu();

}  // namespace encke
