// What encoder, decoder and table builder of the DENSE codec agree on; drawn in
// doc/codec-format.md.
//
// A code z becomes z' = z >> shift (with a mask: 0 for 0, otherwise 1 + ((z - 1) >> shift)) and raw
// low bits; z' becomes one of 12 tokens and raw extra bits. Tokens are entropy coded by 16
// interleaved rANS coders (J. Duda, "Asymmetric numeral systems", arXiv:1311.2540) under the
// context of two neighbours' tokens.
#pragma once

#include <cstdint>

#include "compression/simd/block.h"

namespace encke::simd {

constexpr int kTokens = 12;
constexpr int kContexts = 16;
constexpr int kLanes = 16;
constexpr int kProbabilityBits = 12;
constexpr int kProbabilityOne = 1 << kProbabilityBits;
// Coder states lie in [kStateLow, kStateLow << 16).
constexpr uint32_t kStateLow = 1u << 15;
constexpr int kMaxShift = 7;

// Tokens below kPlainTokens are codes themselves, the others ranges of 2^extra codes.
constexpr int kPlainTokens = 8;
constexpr uint8_t kTokenBase[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 14, 30, 0, 0, 0, 0};
constexpr uint8_t kTokenExtra[16] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 4, 8, 0, 0, 0, 0};

// What of a code the token stands for: its part above the raw low bits.
ENCKE_INLINE int HighPart(int code, int shift, bool mask) {
  const int base = mask && code > 0 ? code - 1 : code;
  return (base >> shift) + (mask && code > 0);
}

// REQUIRES: high < 256.
ENCKE_INLINE uint8_t TokenOf(uint8_t high) {
  return static_cast<uint8_t>((high < 8 ? high : 8) + (high >= 10) + (high >= 14) + (high >= 30));
}

// `halve`: tokens are zigzag codes, whose size is half of them.
ENCKE_INLINE uint8_t ContextOf(int left, int up, bool halve) {
  const int sum = halve ? (left + 1) / 2 + (up + 1) / 2 : left + up;
  return static_cast<uint8_t>(sum < kContexts ? sum : kContexts - 1);
}

// Distributions of the tokens, for the inner loops.
struct DenseTables {
  // [token][context]: first slot << 16 | slots << 4 | token. All `tokens` tokens have slots in
  // every context, so entries grow with the token.
  alignas(64) uint32_t entries[kTokens][kContexts];
  int tokens = 2;  // in use; codes that would need others are escapes
  int shift = 0;
};

// A word of the coders' stream, which need not be aligned.
ENCKE_INLINE uint32_t ReadWord(const uint8_t** words) {
  uint16_t word;
  std::memcpy(&word, *words, sizeof(word));
  *words += sizeof(word);
  return word;
}

// Distances, in elements, to the two neighbours that make the context: the previous pixel and the
// row above, in the same channel, but never closer than one vector of lanes.
struct DenseNeighbours {
  int64_t left;
  int64_t up;  // applies from element `up` on; before that, `left` serves twice
};

ENCKE_INLINE DenseNeighbours NeighboursOf(int64_t channels, int64_t width) {
  const int64_t left = (kLanes + channels - 1) / channels * channels;
  const int64_t row = channels * width;
  return {left, row >= kLanes ? row : left};
}

}  // namespace encke::simd
