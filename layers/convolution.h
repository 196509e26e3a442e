// Convolution in two dimensions, with stride, padding (also asymmetric), dilation, groups and bias.
#pragma once

#include <memory>

#include "layers/layer.h"

namespace encke {

struct ConvolutionOptions {
  int64_t out_channels = 1;
  ConvOptions window;  // kernel, stride, dilation, padding, groups
  bool bias = false;
  Initializer weight_init = {Initializer::Kind::KAIMING_NORMAL_FAN_OUT, 0.0f};
  Initializer bias_init;  // default: zero
};

// Parameters: weight {K, R, S, C / groups}, then bias {1, 1, 1, K}. Backward reads the input, for
// the weight's gradient only.
std::unique_ptr<Layer> NewConvolution(const ConvolutionOptions& options);

}  // namespace encke
