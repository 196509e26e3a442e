// Sum of two or more tensors of one shape. The output's gradient is each input's gradient.
#pragma once

#include <memory>

#include "layers/layer.h"

namespace encke {

std::unique_ptr<Layer> NewAdd();

}  // namespace encke
