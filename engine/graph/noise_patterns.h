// Patterns in a saved value's error: what is coherent in it, as far as two numbers a channel can
// say. Pixels that repeat one another, such as an image's background, have one and the same error;
// and coarse bounds err by different means than 0 on all others. Derived in
// doc/error-propagation.md, "Patterns".
#pragma once

#include <cstdint>
#include <vector>

#include "compression/noise_correction.h"
#include "engine/core/tensor.h"

namespace encke {

constexpr int64_t kPatterns = 2;  // repeated pixels, others

// A number for each pixel of x (shape.n * shape.h * shape.w pixels of shape.c floats), equal for
// equal pixels; 0 for one that is zero in all channels, which has no error.
std::vector<uint64_t> PixelNumbers(const std::vector<float>& x, const Shape& shape);

// The number that is met most often, but for 0; 0 where none is met twice.
uint64_t MostFrequent(std::vector<uint64_t> numbers);

// One of the patterns (0: repeated pixels, 1: others) as an image of 0 and 1, alike in all
// channels.
std::vector<float> PatternImage(const std::vector<uint64_t>& numbers, uint64_t repeated,
                                int64_t pattern, int64_t channels);

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
