// The quantiser's constants as the inner loops read them.
#pragma once

#include <cstdint>

namespace encke {

enum class QuantizerMode : uint8_t {
  SIGNED,   // cells around 0 or a channel's center
  MASK,     // what is not above 0 is one cell
  ACTIVITY  // cells on both sides of a channel's threshold (Activity)
};

// ACTIVITY: so many inactive cells next to the threshold come back as their centroid.
constexpr int kCentroids = 4;

// Pointers to tables that repeat after `period` elements and are 64 entries longer, so that the
// entries of 64 consecutive elements lie side by side wherever they start.
struct QuantizerTables {
  const float* bound;  // ACTIVITY: of active elements, as step and inverse_step
  const float* step;
  const float* inverse_step;
  const int32_t* center;  // null in mode ACTIVITY
  // The rest is null in other modes.
  const float* threshold;
  const float* direction;  // 1: active above the threshold, -1: below
  const float* inactive_bound;
  const float* width;  // of an inactive cell
  const float* inverse_width;
  // Of the inactive cells 0, 1, ..., in one byte each from the lowest on: how far from the cell's
  // middle it is decoded to, away from the threshold, in 256ths of `width`.
  const int32_t* centroids;
  int64_t period;
};

}  // namespace encke
