// How many partial sums the kernels of launch.cuh leave for their last step.
#pragma once

#include <cstdint>

namespace encke::cuda {

// Blocks that sum at a time, for very many channels at least one row of them.
inline constexpr int kMaxSumBlocks = 1024;

// Doubles that sums over the rows of so many channels need: two for each channel and block, of
// which one serves at most 32 packs of 8 channels.
inline int64_t PartialSums(int64_t channels) {
  return 2 * (static_cast<int64_t>(kMaxSumBlocks) * 32 * 8 + channels);
}

}  // namespace encke::cuda
