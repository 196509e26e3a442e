// Where the elements of inactive cells lie, for Activity::centroid.
#pragma once

#include <cstdint>
#include <vector>

#include "compression/codec.h"

namespace encke {

// The means of the cells next to each channel's threshold over a sample of a value, as
// Activity::centroid wants them. A channel with few elements in a cell leans on the mean of all
// channels for it. Elements that are not finite do not count. `sample` are chunks of the value, F32
// or BF16, with all of its channels. REQUIRES: an activity that a Quantizer would take.
std::vector<int8_t> CellCentroids(const Activity& activity, const std::vector<ChunkView>& sample,
                                  DType dtype);

}  // namespace encke
