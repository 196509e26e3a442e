// What the pool learns of a value before it encodes it.
#pragma once

#include <vector>

#include "compression/codec.h"
#include "engine/core/tensor.h"

namespace encke {

// A few groups of rows, evenly spread over samples and rows of the value; views of its memory.
std::vector<ChunkView> Sample(const Tensor& value);

// `options` as asked for, with centers where bounds differ by channel, as those of normalisation
// do: its inputs lie as far from 0 as they spread; with an activity, its centroids.
CodecOptions WithCenters(const CodecOptions& options, const std::vector<ChunkView>& sample,
                         const Tensor& value);

}  // namespace encke
