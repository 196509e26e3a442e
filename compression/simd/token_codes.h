// Tokens of the DENSE codec back to codes by one lookup, where they fit a byte.
#pragma once

#include "compression/simd/dense_format.h"

namespace encke::simd {
namespace {

// What tokens and the raw bits below them stand for, without a mask.
template <QuantizerMode kMode>
struct TokenCodes {
  // The codes of tokens whose raw bits are all 0, or of which `narrow` is false.
  alignas(16) uint8_t base[kTokens] = {};
  // All codes of tokens fit a byte, and raw bits r add 2 r to them: with an activity only numbers
  // above 0 have any, without one the shift must be 0.
  bool narrow = true;

  explicit TokenCodes(const DenseRules& rules) {
    const int shift = rules.shift, most = (1 << shift) - 1;
    for (int t = 0; t < rules.tokens; ++t) {
      const int value = t + rules.lowest;
      base[t] = static_cast<uint8_t>(ToZigzag(CodeOf(value, 0, shift)));
      narrow = narrow && ToZigzag(CodeOf(value, most, shift)) <= 255;
    }
    narrow = narrow && (kMode == QuantizerMode::ACTIVITY || shift == 0);
  }

  // The code's number.
  ENCKE_INLINE int CodeOf(int value, int low, int shift) {
    return kMode == QuantizerMode::ACTIVITY ? ActivityCell(value, low, shift)
                                            : (value * (1 << shift)) | low;
  }
};

}  // namespace
}  // namespace encke::simd
