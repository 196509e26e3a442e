// Fully connected layer; takes h, w, c of its input together, so that no flatten is needed before.
#pragma once

#include <memory>

#include "layers/layer.h"

namespace encke {

struct FullyConnectedOptions {
  int64_t out_features = 1;
  bool bias = true;
  Initializer weight_init = {Initializer::Kind::KAIMING_UNIFORM_FAN_IN, 2.2360680f};
  Initializer bias_init = {Initializer::Kind::KAIMING_UNIFORM_FAN_IN, 2.2360680f};
};

// Parameters: weight {out, 1, 1, h * w * c}, then bias {1, 1, 1, out}. Input features are in
// physical order (h, w, c), not PyTorch's (c, h, w). The default initializers are PyTorch's: both
// uniform within 1 / sqrt(fan_in). Backward reads the input, for the weight's gradient only.
std::unique_ptr<Layer> NewFullyConnected(const FullyConnectedOptions& options);

}  // namespace encke
