// Patterns in a saved value's error: what is coherent in it, as far as two numbers a channel can
// say. Pixels that repeat one another, such as an image's background, have one and the same error;
// and coarse bounds err by different means than 0 on all others. Derived in
// doc/error-propagation.md, "Patterns".
#pragma once

#include <cstdint>
#include <vector>

#include "compression/noise_correction.h"

namespace encke {

constexpr int64_t kPatterns = 2;  // repeated pixels (Backend::FindRepeatedPixel), others

// Mean products of the patterns' parts of a weight gradient: k,r,s rows of kPatterns.
PatternProducts ProductsOf(const std::vector<float>& pattern_gradients);

// Takes the error in a weight gradient, k,r,s rows of `channels`, apart into what the patterns'
// parts explain, by least squares in each channel of each of the convolution's `groups`, and the
// rest. `bound`: of the value; `formula_variance`: the noise that the formula predicts for it.
// REQUIRES: groups divides k.
NoiseSample Separate(const std::vector<float>& error, int64_t channels, int64_t groups,
                     const std::vector<float>& pattern_gradients, double bound,
                     double formula_variance);

}  // namespace encke
