// A chunk as the warps of a crew encode it as FAST, each a part of it.
#pragma once

#include "compression/cuda/fast_rounds.h"

namespace encke::cuda {

// Shared memory of a chunk's warps.
template <typename T>
struct FastEncodeMemory {
  static constexpr uint32_t kSteps = (16 << 10) / sizeof(T) / kBlockElements / kOctets / kCrewWarps;
  static constexpr uint32_t kWindowWords = 512;  // of a part

  struct Part {
    alignas(16) RoundRows rounds;
    uint8_t nibbles[2 * kSteps];  // as in the stream
    uint16_t marks[kSteps];
    uint32_t bits;  // of the part's blocks
    ChunkStatistics statistics;
  };

  Part parts[kCrewWarps];
  alignas(16) uint32_t windows[kCrewWarps * kWindowWords];
  uint8_t* out;
  bool skipped;
};

// A chunk as its warps encode it.
template <typename T, typename Rule>
struct FastEncodeJob {
  using Memory = FastEncodeMemory<T>;

  const T* data;      // the chunk's elements
  uint32_t elements;  // at most 2^26
  RuleTables<Rule> tables;
  const NibbleTable* extracted;
  Memory* memory;

  // All of a warp's octets take a block each in a step. Parts begin with segments.
  ENCKE_INLINE_MEMBER uint32_t steps() const { return CeilDivide(BlocksOf(elements), kOctets); }
  ENCKE_INLINE_MEMBER uint32_t StepsOfPart() const {
    constexpr uint32_t kSegmentSteps = kSegmentBlocks / kOctets;
    return CeilDivide(steps(), kCrewWarps * kSegmentSteps) * kSegmentSteps;
  }
  ENCKE_INLINE_MEMBER uint32_t FirstStep(int part) const {
    return Least(steps(), part * StepsOfPart());
  }

  // After all parts were encoded: where one begins, in bits of the stream.
  ENCKE_WARP_CODE uint32_t PartBegin(int part) const {
    uint32_t position = BitsBegin(elements) * 8;
    for (int before = 0; before < part; ++before) position += memory->parts[before].bits;
    return position;
  }
  // Likewise, the stream's length in bytes.
  ENCKE_WARP_CODE uint32_t CodedSize() const { return CeilDivide(PartBegin(kCrewWarps), 8); }
  ENCKE_WARP_CODE uint32_t CopiedSize() const {
    return kHeadBytes + elements * static_cast<uint32_t>(sizeof(T));
  }
  ENCKE_WARP_CODE bool Copied() const { return CodedSize() >= CopiedSize(); }

  // Whether a part may have nibbles and marks in shared memory, and whether each one's bits lie in
  // its window.
  ENCKE_WARP_CODE bool Kept() const { return StepsOfPart() <= Memory::kSteps; }
  ENCKE_WARP_CODE bool AllInWindows() const {
    bool all = Kept();
    for (const auto& part : memory->parts) all = all && part.bits <= 32 * Memory::kWindowWords;
    return all;
  }

  // Likewise; `squares` may not be finite.
  ENCKE_WARP_CODE ChunkStatistics Statistics() const {
    ChunkStatistics sum = {};
    for (const auto& part : memory->parts) {
      sum.nonzero += part.statistics.nonzero;
      sum.escapes += part.statistics.escapes;
      sum.squares += part.statistics.squares;
    }
    if (Copied()) sum.escapes = elements;
    return sum;
  }
};

// Where a part's bits, from bit `position` of the window's stream on, nibbles and marks go. Null:
// these are left out.
struct PartSink {
  BitWindow window;
  uint32_t position;
  uint8_t* nibbles;
  uint16_t* marks;
  bool totals;  // whether length and sums are wanted, to shared memory
};

}  // namespace encke::cuda
