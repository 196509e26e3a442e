// A block of 64 elements of the DENSE codec to tokens and raw bits, and back.
#pragma once

#include "compression/simd/bit_stream.h"
#include "compression/simd/dense_stream.h"
#include "compression/simd/token_codes.h"

namespace encke::simd {
namespace {

// What a block's codes have beside their tokens. With a mask, `high` is z', otherwise how far a
// code lies beyond the window's end; `low` the bits that the shift cut off, where there is one.
struct SplitCodes {
  alignas(64) uint8_t high[kBlockElements];
  alignas(64) uint8_t low[kBlockElements];
};

// The codes of a block as whole numbers.
template <typename Ops>
ENCKE_INLINE void WholeCodes(const typename Ops::Quantized& block, uint16_t* codes) {
  alignas(64) uint8_t low[kBlockElements], high[kBlockElements] = {};
  Ops::StoreCodes(block.low, low);
  if (block.wide) Ops::StoreCodes(block.high, high);
  for (int i = 0; i < kBlockElements; ++i) {
    codes[i] = static_cast<uint16_t>(low[i] | high[i] << 8);
  }
}

// The codes that the tables do not cover, here and below.
template <typename Ops>
ENCKE_INLINE uint64_t SplitMasked(const typename Ops::Quantized& block, const DenseRules& rules,
                                  uint8_t* tokens, SplitCodes* split) {
  const int shift = rules.shift;
  uint64_t too_high = 0;
  if (shift == 0) {
    Ops::StoreCodes(block.low, split->high);
    if (block.wide) too_high = Ops::AtLeast(block.high, 1);
  } else {
    alignas(64) uint16_t codes[kBlockElements];
    alignas(64) uint8_t over[kBlockElements];
    WholeCodes<Ops>(block, codes);
    for (int i = 0; i < kBlockElements; ++i) {
      const int high = HighPart(codes[i], shift);
      split->low[i] = static_cast<uint8_t>((codes[i] - 1) & ((1 << shift) - 1));
      split->high[i] = static_cast<uint8_t>(high);
      over[i] = high > 255;
    }
    too_high = Ops::AtLeast(Ops::LoadCodes(over), 1);
  }
  for (int i = 0; i < kBlockElements; ++i) tokens[i] = TokenOf(split->high[i]);
  return too_high | Ops::AtLeast(Ops::LoadCodes(tokens), rules.tokens);
}

template <typename Ops, QuantizerMode kMode>
ENCKE_INLINE uint64_t SplitSigned(const typename Ops::Quantized& block, const DenseRules& rules,
                                  uint8_t* tokens, SplitCodes* split) {
  // In 16 bits and in short loops, which compilers turn into vector code.
  alignas(64) uint16_t codes[kBlockElements];
  alignas(64) int16_t k[kBlockElements], high[kBlockElements];
  alignas(64) int16_t inside[kBlockElements], beyond[kBlockElements];
  alignas(64) uint8_t too_far[kBlockElements];
  WholeCodes<Ops>(block, codes);
  const auto last = static_cast<int16_t>(rules.tokens - 1);
  const auto lowest = static_cast<int16_t>(rules.lowest);
  const int shift = rules.shift, most_below = HasLowTail(lowest) ? 255 : 0;
  for (int i = 0; i < kBlockElements; ++i) k[i] = static_cast<int16_t>(FromZigzag(codes[i]));
  for (int i = 0; i < kBlockElements; ++i) {
    if constexpr (kMode == QuantizerMode::ACTIVITY) {
      split->low[i] = static_cast<uint8_t>((k[i] - 1) & ((1 << shift) - 1));
      high[i] = static_cast<int16_t>(ActivityHigh(k[i], shift));
    } else {
      split->low[i] = static_cast<uint8_t>(k[i] & ((1 << shift) - 1));
      high[i] = static_cast<int16_t>(k[i] >> shift);
    }
  }
  for (int i = 0; i < kBlockElements; ++i) {
    const auto token = static_cast<int16_t>(high[i] - lowest);
    const int16_t above = token > last ? last : token;
    inside[i] = above < 0 ? int16_t{0} : above;
    beyond[i] = static_cast<int16_t>(token - inside[i]);
  }
  for (int i = 0; i < kBlockElements; ++i) {
    tokens[i] = static_cast<uint8_t>(inside[i]);
    split->high[i] = static_cast<uint8_t>(beyond[i] < 0 ? -beyond[i] : beyond[i]);
    too_far[i] = (beyond[i] > 255) | (beyond[i] < -most_below);
  }
  return Ops::AtLeast(Ops::LoadCodes(too_far), 1);
}

// Adds the raw bits of the codes that stand for ranges; false when one leaves its byte.
ENCKE_INLINE bool ReadExtras(uint64_t where, BitReader& reader, uint8_t* codes) {
  for (; where != 0; where &= where - 1) {
    uint8_t& code = codes[__builtin_ctzll(where)];
    const int extra = kTokenExtra[code];
    const int value = kTokenBase[code] + static_cast<int>(reader.Get(extra) & ((1u << extra) - 1));
    if (value > 255) return false;
    code = static_cast<uint8_t>(value);
  }
  return true;
}

template <typename Ops>
ENCKE_INLINE typename Ops::Codes ReadLowBits(uint64_t active, int shift, BitReader& reader) {
  const int count = Popcount(active);
  auto planes = Ops::Zero();
  for (int plane = 0; plane < shift; ++plane) {
    Ops::AddWhere(Ops::Pdep(reader.Get(count), active), 1 << plane, &planes);
  }
  return planes;
}

// The codes of a block from z' in `high`.
template <typename Ops>
ENCKE_INLINE void JoinMasked(const uint8_t* high, int shift, BitReader& reader,
                             typename Ops::Quantized* block) {
  block->wide = shift > 0;
  block->low = Ops::LoadCodes(high);
  if (shift == 0) return;
  alignas(64) uint8_t low[kBlockElements], upper[kBlockElements];
  Ops::StoreCodes(ReadLowBits<Ops>(Ops::AtLeast(block->low, 1), shift, reader), low);
  for (int i = 0; i < kBlockElements; ++i) {
    const int code = high[i] > 0 ? ((high[i] - 1) << shift | low[i]) + 1 : 0;
    low[i] = static_cast<uint8_t>(code);
    upper[i] = static_cast<uint8_t>(code >> 8);
  }
  block->low = Ops::LoadCodes(low);
  block->high = Ops::LoadCodes(upper);
}

template <typename Ops, QuantizerMode kMode>
ENCKE_INLINE void JoinSigned(const uint8_t* tokens, const TokenCodes<kMode>& codes,
                             const DenseRules& rules, uint64_t valid, BitReader& reader,
                             typename Ops::Quantized* block) {
  alignas(64) uint8_t low[kBlockElements] = {}, upper[kBlockElements];
  alignas(64) int16_t values[kBlockElements];
  const int last = rules.tokens - 1, shift = rules.shift;
  const auto stored = Ops::LoadCodes(tokens);
  uint64_t tails = TailsOf<Ops>(stored, rules) & valid;
  if (codes.narrow && tails == 0) {
    block->wide = false;
    block->low = Ops::Lookup(codes.base, stored);
    if (shift == 0) return;
    const auto raw = ReadLowBits<Ops>(ShiftedOf<Ops, kMode>(stored, rules), shift, reader);
    block->low = Ops::Add(block->low, Ops::Add(raw, raw));
    return;
  }
  for (int i = 0; i < kBlockElements; ++i) {
    values[i] = static_cast<int16_t>(tokens[i] + rules.lowest);
  }
  for (; tails != 0; tails &= tails - 1) {
    const int i = __builtin_ctzll(tails);
    const int beyond = static_cast<int>(reader.Get(kTailBits) & 255);
    values[i] = static_cast<int16_t>(values[i] + (tokens[i] == last ? beyond : -beyond));
  }
  if (shift > 0) {
    Ops::StoreCodes(ReadLowBits<Ops>(ShiftedOf<Ops, kMode>(stored, rules), shift, reader), low);
  }
  for (int i = 0; i < kBlockElements; ++i) {
    const int code = ToZigzag(TokenCodes<kMode>::CodeOf(values[i], low[i], shift));
    low[i] = static_cast<uint8_t>(code);
    upper[i] = static_cast<uint8_t>(code >> 8);
  }
  block->low = Ops::LoadCodes(low);
  block->high = Ops::LoadCodes(upper);
  block->wide = true;
}

// By operations that all instruction sets have.
template <typename BlockOps>
struct DenseBlocks {
  using Ops = BlockOps;
  using Block = typename Ops::Quantized;  // `escapes`: the elements without a code

  template <QuantizerMode kMode, typename T>
  ENCKE_INLINE Block Quantize(const T* x, uint64_t valid, const QuantizerTables& tables,
                              typename Ops::Sums* sums) {
    return Ops::template Quantize<kMode>(x, valid, tables, sums);
  }

  // Fills `tokens` and `split`; the elements whose code has no token.
  template <QuantizerMode kMode>
  ENCKE_INLINE uint64_t Split(const Block& block, const DenseRules& rules, uint8_t* tokens,
                              SplitCodes* split) {
    if constexpr (kMode == QuantizerMode::MASK)
      return SplitMasked<Ops>(block, rules, tokens, split);
    return SplitSigned<Ops, kMode>(block, rules, tokens, split);
  }

  // Tokens and raw bits back to elements, all 64 of which are written; false when a code leaves its
  // range. `tokens` are changed.
  template <QuantizerMode kMode, typename T>
  ENCKE_INLINE bool Restore(uint8_t* tokens, const TokenCodes<kMode>& codes,
                            const DenseRules& rules, uint64_t valid,
                            const QuantizerTables& quantizer, BitReader& reader, T* out) {
    typename Ops::Quantized block;
    block.high = Ops::Zero();
    if constexpr (kMode == QuantizerMode::MASK) {
      const uint64_t ranges = Ops::AtLeast(Ops::LoadCodes(tokens), kPlainTokens);
      if (!ReadExtras(ranges, reader, tokens)) return false;
      JoinMasked<Ops>(tokens, rules.shift, reader, &block);
    } else {
      JoinSigned<Ops, kMode>(tokens, codes, rules, valid, reader, &block);
    }
    Ops::template Dequantize<kMode>(block, quantizer, out);
    return true;
  }
};

}  // namespace
}  // namespace encke::simd
