// Error bounds of a batch norm's input. Internal to engine/graph.
#pragma once

#include <cstdint>
#include <vector>

#include "compression/codec.h"

namespace encke {

// What a batch norm does to a channel, y = (x - mean) * scale + shift, scale = gamma * inv_std.
struct NormChannel {
  float mean = 0, inv_std = 1, scale = 1, shift = 0;
};

struct NormBoundOptions {
  double active = 0.25;              // fraction of the channel's standard deviation
  double inactive = 0.5;             // of elements that a ReLU behind the batch norm stops
  double output = 0;                 // bound on y where the ReLU passes it; infinite: none
  std::vector<float> output_limits;  // others, by channel; empty: none
};

// The same fraction of each channel's standard deviation, and no more than `most`.
std::vector<float> ChannelBounds(const std::vector<NormChannel>& channels, double fraction,
                                 double most);

// The float that divides the inputs which the ReLU passes from those which it stops, exactly as
// Backend::BatchNormApply rounds: y > 0 just where x > threshold, or x < threshold where the scale
// is negative. REQUIRES: finite channel, scale != 0.
float ReluThreshold(const NormChannel& channel);

// Bounds and activity of a batch norm's input that has sides; lossless where a channel is not
// finite.
CodecOptions SidedBounds(const std::vector<NormChannel>& channels, const NormBoundOptions& options);

}  // namespace encke
