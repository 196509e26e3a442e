// What encoder and decoder of the DENSE codec (dense_encode.h, dense_decode.h) have in common.
#pragma once

#include "compression/simd/block.h"
#include "compression/simd/dense_format.h"
#include "compression/simd/kernels.h"

namespace encke::simd {
namespace {

// The window's end tokens, behind which raw bits say how far beyond the code lies.
template <typename Ops>
ENCKE_INLINE uint64_t TailsOf(const typename Ops::Codes& tokens, const DenseRules& rules) {
  const uint64_t low = HasLowTail(rules.lowest) ? ~Ops::AtLeast(tokens, 1) : 0;
  return Ops::AtLeast(tokens, rules.tokens - 1) | low;
}

// The elements whose codes the shift shortened: all, or those that are active.
template <typename Ops, QuantizerMode kMode>
ENCKE_INLINE uint64_t ShiftedOf(const typename Ops::Codes& tokens, const DenseRules& rules) {
  return kMode == QuantizerMode::SIGNED ? ~uint64_t{0} : Ops::AtLeast(tokens, rules.rule.zero + 1);
}

// What makes the contexts from `position` on, of 16 elements, or more where AlikeFor says so.
ENCKE_INLINE TokenNeighbours Near(const uint8_t* tokens, int64_t position,
                                  const DenseNeighbours& neighbours) {
  const uint8_t* own = tokens + position;
  return {own - neighbours.left, own - neighbours.UpAt(position),
          own - neighbours.CornerAt(position)};
}

// Numbers as groups of seven bits, low ones first; the top bit says that more follow.
ENCKE_INLINE void WriteVarint(uint64_t value, uint8_t** out) {
  for (; value >= 128; value >>= 7) *(*out)++ = static_cast<uint8_t>(value | 128);
  *(*out)++ = static_cast<uint8_t>(value);
}

ENCKE_INLINE bool ReadVarint(const uint8_t** in, const uint8_t* end, uint64_t* value) {
  *value = 0;
  for (int shift = 0; shift < 63 && *in < end; shift += 7) {
    const uint8_t byte = *(*in)++;
    *value |= static_cast<uint64_t>(byte & 127) << shift;
    if (byte < 128) return true;
  }
  return false;
}

}  // namespace
}  // namespace encke::simd
