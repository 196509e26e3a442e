// Between codes and the tokens of the DENSE codec, element by element, and what else its encoder
// and decoder share. Drawn in doc/codec-format.md; the CPU does the same with whole blocks
// (compression/simd/dense_kernel.h).
//
// A chunk is coded by half a warp, since its 16 interleaved coders depend on each other at every
// step; a warp has two chunks.
#pragma once

#include "compression/cuda/lane_bits.h"
#include "compression/cuda/quad_rules.h"
#include "compression/cuda/warp.h"
#include "compression/cuda/stored_chunk.h"
#include "compression/simd/dense_format.h"

namespace encke::cuda {

using simd::DenseTables;

constexpr int kTeamLanes = simd::kLanes;  // lanes that share a chunk
constexpr int kTeams = kWarpLanes / kTeamLanes;
static_assert(kTeamLanes == kQuadsInBlock, "a team's lanes have a quad each of a block");

// Lane of its team, and the team.
ENCKE_INLINE int TeamLane(int lane) { return lane % kTeamLanes; }
ENCKE_INLINE int TeamOf(int lane) { return lane / kTeamLanes; }
// The part of a ballot that is the lane's team's.
ENCKE_INLINE uint32_t TeamBits(uint32_t ballot, int lane) {
  return ballot >> kTeamLanes * TeamOf(lane) & 0xffff;
}
ENCKE_INLINE uint32_t BitsBelow(int lane) { return (1u << lane) - 1; }

// The most of what two lanes of different teams have.
template <typename Warp>
ENCKE_WARP_CODE uint32_t MostOfTeams(Warp& warp,
                                     const typename Warp::template PerLane<uint32_t>& values) {
  const uint32_t first = warp.Broadcast(values, 0), second = warp.Broadcast(values, kTeamLanes);
  return first > second ? first : second;
}

// With a mask, how many raw bits follow tokens that stand for ranges of z', and where those begin:
// simd::kTokenExtra and kTokenBase, in registers.
ENCKE_INLINE int MaskExtra(uint32_t token) {
  return token < simd::kPlainTokens ? 0 : 1 << (token - simd::kPlainTokens);
}
ENCKE_INLINE uint32_t MaskBase(uint32_t token) {
  return token < simd::kPlainTokens ? token : 0x1e0e0a08u >> 8 * (token - simd::kPlainTokens) & 255;
}

// Raw bits beside a token, without those of the shift.
template <QuantizerMode kMode>
ENCKE_INLINE int ExtraBits(uint32_t token, const DenseTables& tables) {
  if (kMode == QuantizerMode::MASK) return MaskExtra(token);
  const bool last = token == static_cast<uint32_t>(tables.tokens - 1);
  const bool low_tail = token == 0 && simd::HasLowTail(tables.lowest);
  return last || low_tail ? simd::kTailBits : 0;
}

// Whether the shift shortened the token's code, so that its low bits are kept.
template <QuantizerMode kMode>
ENCKE_INLINE bool IsShifted(uint32_t token, const DenseTables& tables) {
  return kMode == QuantizerMode::SIGNED || token > tables.rule.zero;
}

struct Token {
  uint32_t token;
  uint32_t extra;  // the raw bits' value
  uint32_t low;    // the shift's bits
  bool known;      // otherwise the element is an escape
};

template <QuantizerMode kMode>
ENCKE_INLINE Token TokenOfCode(uint32_t code, const DenseTables& tables) {
  const int shift = tables.shift;
  const uint32_t low_mask = (1u << shift) - 1;
  if (kMode == QuantizerMode::MASK) {
    const auto high = static_cast<uint32_t>(simd::HighPart(static_cast<int>(code), shift));
    const uint32_t token = simd::TokenOf(static_cast<uint8_t>(Least(high, 255u)));
    const bool known = high <= 255 && token < static_cast<uint32_t>(tables.tokens);
    return {token, high - MaskBase(token), (code - 1) & low_mask, known};
  }
  const int k = simd::FromZigzag(static_cast<int>(code));
  const bool activity = kMode == QuantizerMode::ACTIVITY;
  const int high = activity ? simd::ActivityHigh(k, shift) : k >> shift;
  const int token = high - tables.lowest, last = tables.tokens - 1;
  const int inside = token < 0 ? 0 : Least(token, last);
  const int beyond = token - inside;
  const int most_below = simd::HasLowTail(tables.lowest) ? 255 : 0;
  return {static_cast<uint32_t>(inside), static_cast<uint32_t>(beyond < 0 ? -beyond : beyond),
          static_cast<uint32_t>(activity ? k - 1 : k) & low_mask,
          beyond <= 255 && beyond >= -most_below};
}

// The code again. False when its token's number would leave a byte, which no encoder writes.
template <QuantizerMode kMode>
ENCKE_INLINE bool CodeOfToken(uint32_t token, uint32_t extra, uint32_t low,
                              const DenseTables& tables, uint32_t* code) {
  if (kMode == QuantizerMode::MASK) {
    const uint32_t high = MaskBase(token) + extra;
    *code = high == 0 ? 0 : ((high - 1) << tables.shift | low) + 1;
    return high <= 255;
  }
  const bool last = token == static_cast<uint32_t>(tables.tokens - 1);
  const int beyond = static_cast<int>(extra);
  const auto value =
      static_cast<int16_t>(static_cast<int>(token) + tables.lowest + (last ? beyond : -beyond));
  const int k = kMode == QuantizerMode::ACTIVITY
                    ? simd::ActivityCell(value, static_cast<int>(low), tables.shift)
                    : value * (1 << tables.shift) | static_cast<int>(low);
  *code = static_cast<uint32_t>(simd::ToZigzag(k)) & 0xffff;
  return true;
}

// Tokens of a chunk as they are coded: what lies before the chunk is the token of 0.
struct TokenField {
  const uint8_t* tokens;
  uint32_t left, up;  // distances of the neighbours (simd::DenseNeighbours)
  simd::ContextRule rule;

  // The context of lane `lane`'s element of a group of 16 that starts at `group`.
  ENCKE_INLINE_MEMBER uint32_t Context(uint32_t group, int lane) const {
    const uint32_t above = group < up ? left : up, corner = group < up ? left : up + left;
    return simd::ContextOf(At(group + lane, left), At(group + lane, above),
                           At(group + lane, corner), rule);
  }

 private:
  ENCKE_INLINE_MEMBER int At(uint32_t element, uint32_t distance) const {
    return element < distance ? rule.zero : tokens[element - distance];
  }
};

// Numbers as groups of seven bits, low ones first.
ENCKE_INLINE uint32_t VarintBytes(uint32_t value) {
  uint32_t bytes = 1;
  for (; value >= 128; value >>= 7) ++bytes;
  return bytes;
}
ENCKE_INLINE uint8_t* WriteVarint(uint32_t value, uint8_t* out) {
  for (; value >= 128; value >>= 7) *out++ = static_cast<uint8_t>(value | 128);
  *out++ = static_cast<uint8_t>(value);
  return out;
}
// False where the stream ends or the number has more than 63 bits; such numbers are cut to 32 bits
// all ones.
ENCKE_INLINE bool ReadVarint(const ByteStream& stream, uint32_t* at, uint32_t* value) {
  uint64_t all = 0;
  for (int shift = 0; shift < 63 && *at < stream.size; shift += 7) {
    const uint32_t byte = stream.Byte((*at)++);
    all |= static_cast<uint64_t>(byte & 127) << shift;
    if (byte < 128) {
      *value = all > 0xffffffffu ? 0xffffffffu : static_cast<uint32_t>(all);
      return true;
    }
  }
  return false;
}

// Blocks of a chunk, rounded up to whole ones.
ENCKE_INLINE uint32_t DenseBlocks(uint32_t elements) {
  return CeilDivide(elements, kBlockElements);
}

}  // namespace encke::cuda
