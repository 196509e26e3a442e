// h, w, c become channels: {n, 1, 1, h * w * c}, the same bytes in the same order.
#pragma once

#include <memory>

#include "layers/layer.h"

namespace encke {

std::unique_ptr<Layer> NewFlatten();

}  // namespace encke
