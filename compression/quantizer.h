// Turns elements into small integer codes and back, inside the error bound.
//
// Without a mask:  k = round(x / step) - center,  x' = (k + center) * step,  code = zigzag(k).
// With a mask:     code 0 is "inactive" and decodes to 0; code k >= 1 is the cell
//                  ((k - 1) * step, k * step] and decodes to its middle, so that the sign survives.
// step = 2 * bound * (1 - 2^-12): the little that is missing pays for the rounding of the
// reconstruction, so that hardly any element fails the check |x - x'| < bound. Those that do, and
// those whose code is 2^16 or more, are escapes.
#pragma once

#include <cstdint>
#include <vector>

#include "compression/codec.h"
#include "compression/quantizer_tables.h"

namespace encke {

// Immutable, thread-safe.
class Quantizer {
 public:
  // Bounds below 2^-120 are taken as 0 (lossless), those above 2^120 as 2^120.
  // REQUIRES: the options' vectors are empty or have `channels` entries, bounds finite and >= 0.
  Quantizer(const CodecOptions& options, int64_t channels);

  bool mask() const { return mask_; }
  bool lossless() const { return lossless_; }  // all bounds are 0
  QuantizerTables tables() const;
  int64_t bytes() const;  // of memory held

 private:
  bool mask_;
  bool lossless_ = true;
  int64_t period_;
  std::vector<float> bound_, step_, inverse_step_;
  std::vector<int32_t> center_;
};

}  // namespace encke
