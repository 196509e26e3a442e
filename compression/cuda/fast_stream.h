// What encoder and decoder of FAST streams share; the stream is drawn in doc/codec-format.md.
#pragma once

#include "compression/cuda/lane_bits.h"
#include "compression/cuda/octet.h"
#include "compression/cuda/quad_rules.h"
#include "compression/cuda/stored_chunk.h"
#include "compression/simd/rice.h"

namespace encke::cuda {

// A segment: so many blocks that one octet decodes, one after another. Their length in bits, one
// number a segment, is kept beside the stream: a mark.
constexpr uint32_t kSegmentBlocks = 8;

ENCKE_INLINE uint32_t BlocksOf(uint32_t elements) { return CeilDivide(elements, kBlockElements); }
ENCKE_INLINE uint32_t SegmentsOf(uint32_t elements) {
  return CeilDivide(BlocksOf(elements), kSegmentBlocks);
}
// Head and nibbles, after which the bit stream begins.
ENCKE_INLINE uint32_t BitsBegin(uint32_t elements) {
  return kHeadBytes + (BlocksOf(elements) + 1) / 2;
}

}  // namespace encke::cuda
