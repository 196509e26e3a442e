// Dropout (Srivastava et al. 2014), scaled at training so that evaluation is the identity. Backward
// draws the mask again instead of keeping it.
#pragma once

#include <memory>

#include "layers/layer.h"

namespace encke {

struct DropoutOptions {
  float p = 0.5f;  // probability of zero, in [0, 1)
};

std::unique_ptr<Layer> NewDropout(const DropoutOptions& options = {});

}  // namespace encke
