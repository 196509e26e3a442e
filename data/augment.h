// From an image of any size to the pixels of a sample in a batch.
#pragma once

#include <cstdint>

#include "data/loader.h"
#include "engine/core/rng.h"
#include "engine/core/shape.h"

namespace encke {

// `sample` is the shape of the result (n is 1), `out` has room for it; `image` has as many
// channels.

// For evaluation: resizes the shorter side to `resize_shorter` (the larger of height and width when
// it is 0), then takes the centre; zeros where the image is too small.
void CenterCrop(const Image& image, int64_t resize_shorter, const Shape& sample, uint8_t* out);

// For training. A function of its arguments and of the draws from `rng`.
void Augment(const Image& image, const AugmentOptions& options, int64_t resize_shorter, Rng& rng,
             const Shape& sample, uint8_t* out);

}  // namespace encke
