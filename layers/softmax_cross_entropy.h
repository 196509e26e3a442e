// The loss of classification: softmax over c, then cross-entropy with the labels, one loss for each
// sample. Backward reads the probabilities, which it keeps as its state.
#pragma once

#include <memory>

#include "layers/layer.h"

namespace encke {

struct SoftmaxCrossEntropyOptions {
  float label_smoothing = 0.0f;  // s in [0, 1): target (1 - s) * onehot + s / classes
};

std::unique_ptr<Layer> NewSoftmaxCrossEntropy(const SoftmaxCrossEntropyOptions& options = {});

}  // namespace encke
