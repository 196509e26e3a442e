// Batch normalisation over n, h, w (Ioffe and Szegedy 2015), with PyTorch's conventions.
#pragma once

#include <memory>

#include "layers/layer.h"

namespace encke {

struct BatchNormOptions {
  float epsilon = 1e-5f;
  float momentum = 0.1f;  // running = (1 - momentum) * running + momentum * batch
  bool relu = false;      // a ReLU follows, in the same pass over memory
};

// Parameters: weight, bias, running_mean, running_var. State: the batch's mean (0), inverse
// standard deviation (1), sums while they are gathered (2). Evaluation uses the running statistics.
// Training with a single element in a channel has no statistics: Error(CONFIG).
std::unique_ptr<Layer> NewBatchNorm(const BatchNormOptions& options = {});

}  // namespace encke
