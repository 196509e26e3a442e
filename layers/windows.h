// How many windows of a convolution or pooling fit along an axis, with errors that say what would.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/core/shape.h"
#include "layers/layer.h"

namespace encke {

// One axis of a sliding window.
struct WindowAxis {
  const char* name;  // "height", "width": for errors
  int64_t input;
  int64_t kernel;
  int64_t stride;
  int64_t dilation;
  int64_t pad_before, pad_after;
};

// floor((input + padding - reach) / stride) + 1, reach = (kernel - 1) * dilation + 1. Error(CONFIG)
// where a number makes no sense or not even one window fits.
int64_t CountWindows(const WindowAxis& axis);

// Along one axis, the mean over the kernel's taps of the share of windows in which the tap lies
// inside the input and not in the padding: of a 3-tap kernel on 2 pixels with padding 1, 2/3.
double ShareInside(const WindowAxis& axis);

// The output of a pooling with `options`, as PyTorch computes it: with `ceil_mode` the division
// rounds up, except that no window starts in the padding beyond the input.
Shape PooledShape(const PoolOptions& options, bool ceil_mode, const Shape& input);

// The one input of a layer that takes one.
const Shape& OnlyInput(const std::vector<Shape>& inputs);

}  // namespace encke
