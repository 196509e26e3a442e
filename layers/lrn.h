// Local response normalisation across channels (Krizhevsky et al. 2012, section 3.3). Backward
// reads the input and computes the scale again.
#pragma once

#include <memory>

#include "layers/layer.h"

namespace encke {

std::unique_ptr<Layer> NewLrn(const LrnOptions& options = {});

}  // namespace encke
