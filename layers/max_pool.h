// Maximum over windows. Keeps the winner's place inside its window for each output element, which
// packs into 4 bits up to 16 pixels and into 2 up to 4.
#pragma once

#include <memory>

#include "layers/layer.h"

namespace encke {

struct MaxPoolOptions {
  PoolOptions window;      // count_include_pad means nothing here
  bool ceil_mode = false;  // a last window that reaches past the padded input counts too
};

std::unique_ptr<Layer> NewMaxPool(const MaxPoolOptions& options);

}  // namespace encke
