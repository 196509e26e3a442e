// What encoder, decoder and table builder of the DENSE codec agree on; drawn in
// doc/codec-format.md.
//
// Codes lose `shift` low bits, which are kept raw; what is left becomes one of at most 16 tokens.
// Tokens are entropy coded by 16 interleaved rANS coders (J. Duda, "Asymmetric numeral systems",
// arXiv:1311.2540) under the context of their neighbours' tokens.
//   With a mask: z' = 0 for 0, otherwise 1 + ((z - 1) >> shift). Tokens up to 7 are z' itself, four
//   more are ranges with raw extra bits.
//   With activity: cells are numbered k' = k for inactive ones, k <= 0, and 1 + ((k - 1) >> shift)
//   for active ones, which alone have raw low bits; token = k' - lowest, as in what follows.
//   Without either: token = (k >> shift) - lowest, for the window of values that the tables cover;
//   the window's ends stand for all that is beyond, too, with raw bits that say how far.
// Which rule makes contexts of the neighbours' tokens, the tables choose.
#pragma once

#include <cstdint>

#include "compression/simd/block.h"

namespace encke::simd {

constexpr int kTokens = 16;
constexpr int kContexts = 16;
constexpr int kLanes = 16;
constexpr int kProbabilityBits = 12;
constexpr int kProbabilityOne = 1 << kProbabilityBits;
// Coder states lie in [kStateLow, kStateLow << 16).
constexpr uint32_t kStateLow = 1u << 15;
constexpr int kMaxShift = 7;
// Makes float quotients too small rather than too great (simd/rans_avx512.h).
constexpr float kQuotientShrink = 1.0f - 0x1p-21f;

// With a mask: tokens below kPlainTokens are z' itself, the others ranges of 2^extra.
constexpr int kMaskTokens = 12;
constexpr int kPlainTokens = 8;
constexpr uint8_t kTokenBase[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 14, 30, 0, 0, 0, 0};
constexpr uint8_t kTokenExtra[16] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 4, 8, 0, 0, 0, 0};

// With a mask: z' of a code.
ENCKE_INLINE int HighPart(int code, int shift) { return code > 0 ? ((code - 1) >> shift) + 1 : 0; }

// With activity: k' of a code's number, and back.
ENCKE_INLINE int ActivityHigh(int k, int shift) { return k > 0 ? ((k - 1) >> shift) + 1 : k; }
ENCKE_INLINE int ActivityCell(int high, int low, int shift) {
  return high > 0 ? ((high - 1) << shift | low) + 1 : high;
}

// With a mask: the token of z'. REQUIRES: high < 256.
ENCKE_INLINE uint8_t TokenOf(uint8_t high) {
  return static_cast<uint8_t>((high < 8 ? high : 8) + (high >= 10) + (high >= 14) + (high >= 30));
}

ENCKE_INLINE int FromZigzag(int code) { return code >> 1 ^ -(code & 1); }
ENCKE_INLINE int ToZigzag(int k) {
  return static_cast<int>(static_cast<unsigned>(k) << 1) ^ k >> 31;
}

// How the tokens of the left and the upper neighbour, and of the one in the corner between them,
// make a context.
enum class ContextKind : uint8_t {
  SUM,    // of both distances from the token of 0, which tells what size to expect
  MEAN,   // of both: sign and size
  PAIR,   // a class of four of each: below 0, 0, 1, more; with a mask 0, 1, 2, more
  MEDIAN  // of both and of left + upper - corner, what a plane or an edge would continue to
          // (M. Weinberger et al., "The LOCO-I lossless image compression algorithm", 2000)
};
constexpr int kContextKinds = 4;

struct ContextRule {
  ContextKind kind = ContextKind::SUM;
  uint8_t zero = 0;  // the token of 0, or the nearest; also that of escapes and outside the chunk
};

constexpr int kPairClasses = 4;

// PAIR: tokens up to this one are class 0.
ENCKE_INLINE int BelowZero(const ContextRule& rule) { return rule.zero > 0 ? rule.zero - 1 : 0; }
ENCKE_INLINE int PairClass(int token, const ContextRule& rule) {
  const int above = token - BelowZero(rule);
  return above < 0 ? 0 : above < kPairClasses ? above : kPairClasses - 1;
}

ENCKE_INLINE uint8_t ContextOf(int left, int up, int corner, const ContextRule& rule) {
  if (rule.kind == ContextKind::MEDIAN) {
    const int low = left < up ? left : up, high = left < up ? up : left;
    const int plane = left + up - corner;
    return static_cast<uint8_t>(plane < low ? low : plane > high ? high : plane);
  }
  if (rule.kind == ContextKind::PAIR) {
    return static_cast<uint8_t>(PairClass(left, rule) * kPairClasses + PairClass(up, rule));
  }
  if (rule.kind == ContextKind::MEAN) return static_cast<uint8_t>((left + up + 1) >> 1);
  const int a = left > rule.zero ? left - rule.zero : rule.zero - left;
  const int b = up > rule.zero ? up - rule.zero : rule.zero - up;
  return static_cast<uint8_t>(a + b < kContexts ? a + b : kContexts - 1);
}

// Without a mask: whether tokens below the window end in token 0. A window from 0 on has none.
ENCKE_INLINE bool HasLowTail(int lowest) { return lowest != 0; }
constexpr int kTailBits = 8;

// Greater than any entry.
constexpr uint32_t kNoEntry = 0x7fffffff;

// What tokens stand for, and their contexts. Inner loops take a copy of their own, of which the
// compiler knows that what they write does not change it.
struct DenseRules {
  int tokens = 2;  // in use; codes that would need others are escapes
  int shift = 0;
  int lowest = 0;  // without a mask: what token 0 stands for; never above 0 with activity
  ContextRule rule;
};

// The same with the tokens' distributions.
struct DenseTables : public DenseRules {
  // [token][context]: first slot << 16 | slots << 4 | token. All `tokens` tokens have slots in
  // every context, so entries grow with the token. Rows above are kNoEntry.
  alignas(64) uint32_t entries[kTokens + 1][kContexts];
};

// The neighbours' tokens of consecutive elements.
struct TokenNeighbours {
  const uint8_t* left;
  const uint8_t* up;
  const uint8_t* corner;
};

// A word of the coders' stream, which need not be aligned.
ENCKE_INLINE uint32_t ReadWord(const uint8_t** words) {
  uint16_t word;
  std::memcpy(&word, *words, sizeof(word));
  *words += sizeof(word);
  return word;
}

// Distances, in elements, to the neighbours that make the context: the previous pixel and the
// row above, in the same channel, but never closer than one vector of lanes.
struct DenseNeighbours {
  int64_t left;
  int64_t up;  // applies from element `up` on; before that, `left` serves for all neighbours

  // Never a function of its own, of which the linker would keep any instruction set's copy.
  __attribute__((always_inline)) int64_t UpAt(int64_t position) const {
    return position < up ? left : up;
  }
  __attribute__((always_inline)) int64_t CornerAt(int64_t position) const {
    return position < up ? left : up + left;
  }
  // Whether they are the same for all groups of so many elements.
  __attribute__((always_inline)) bool AlikeFor(int64_t position, int64_t count) const {
    return position >= up || position + count - kLanes < up;
  }
};

ENCKE_INLINE DenseNeighbours NeighboursOf(int64_t channels, int64_t width) {
  const int64_t left = (kLanes + channels - 1) / channels * channels;
  const int64_t row = channels * width;
  return {left, row >= kLanes ? row : left};
}

}  // namespace encke::simd
