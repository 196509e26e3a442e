// The quantiser's constants as the inner loops read them.
#pragma once

#include <cstdint>

namespace encke {

// Pointers to tables that repeat after `period` elements and are 64 entries longer, so that the
// entries of 64 consecutive elements lie side by side wherever they start.
struct QuantizerTables {
  const float* bound;
  const float* step;
  const float* inverse_step;
  const int32_t* center;
  int64_t period;
};

}  // namespace encke
