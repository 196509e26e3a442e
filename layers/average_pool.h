// Mean over windows: of a given kernel, to a given output size (adaptive), or over the whole image
// (global). Backward reads nothing.
#pragma once

#include <memory>

#include "layers/layer.h"

namespace encke {

struct AveragePoolOptions {
  PoolOptions window;      // where output_h is 0
  bool ceil_mode = false;  // a last window that reaches past the padded input counts too
  // Adaptive: the output's size; 0 = off. Global is 1 x 1. Works where the output's size divides
  // the input's; there it equals PyTorch's AdaptiveAvgPool2d.
  int64_t output_h = 0, output_w = 0;
};

std::unique_ptr<Layer> NewAveragePool(const AveragePoolOptions& options);

inline std::unique_ptr<Layer> NewGlobalAveragePool() {
  AveragePoolOptions options;
  options.output_h = options.output_w = 1;
  return NewAveragePool(options);
}

}  // namespace encke
