// Rice codes of a block of 64 codes (R. F. Rice, JPL 79-22, 1979), but not code by code: bit plane
// by bit plane, and the unary part level by level, each level only for the elements that reached
// it. So 64 elements cost a handful of word operations, and no fixed width has to fit the greatest.
//
// `Ops` are an instruction set's block operations (simd/ops_*.h); `Writer` and `Reader` are streams
// of bits with the members of those in simd/bit_stream.h.
#pragma once

#include "compression/simd/block.h"

namespace encke::simd {
namespace {

constexpr uint64_t kAll = ~uint64_t{0};
constexpr int kMaxLevels = 32;  // of the unary part
constexpr int kMaxParameter = 7;
constexpr int kPlainNibble = 1;   // 1 + r: Rice parameter r = 0..7
constexpr int kSparseNibble = 8;  // 8 + r: zero bitmap, then parameter r = 1..6 for the others
constexpr int kExtendedNibble = 15;
constexpr int kEscapeFlag = 1, kWideFlag = 2;  // in front of the inner nibble of extended blocks

// The parameter that suits codes with this sum: near log2 of their mean. It is 0, or
// 1 + floor(log2(5 sum / (8 count))).
ENCKE_INLINE int RiceParameter(uint32_t sum, uint32_t count) {
  const uint32_t a = sum * 5, b = count * 8;
  if (a < b) return 0;
  const int power = HighestBit(a) - HighestBit(b);  // a / b < 2^(power + 1), without dividing
  return a >= b << power ? power + 1 : power;
}

// How one byte of each of 64 codes is coded.
struct RicePlan {
  int nibble = 0;
  int parameter = 0;
  bool sparse = false;
};

ENCKE_INLINE RicePlan PlanOf(int nibble) {
  if (nibble == 0) return {};
  if (nibble <= kSparseNibble) return {nibble, nibble - kPlainNibble, false};
  return {nibble, nibble - kSparseNibble, true};
}

// What WriteRice will write.
template <typename Ops>
ENCKE_INLINE uint32_t RiceBits(const RicePlan& plan, const typename Ops::Codes& codes) {
  if (plan.nibble == 0) return 0;
  if (!plan.sparse) return 64 * (plan.parameter + 1) + Ops::SumShifted(codes, plan.parameter);
  const uint32_t count = Popcount(Ops::AtLeast(codes, 1));
  return 64 + count * (plan.parameter + 1) + Ops::SumShifted(Ops::MinusOne(codes), plan.parameter);
}

template <typename Ops>
ENCKE_INLINE RicePlan ChoosePlan(const typename Ops::Codes& codes) {
  const uint64_t nonzero = Ops::AtLeast(codes, 1);
  if (nonzero == 0) return {};
  const uint32_t sum = Ops::SumShifted(codes, 0);
  const uint32_t count = Popcount(nonzero);
  int plain = RiceParameter(sum, 64);
  int sparse = RiceParameter(sum - count, count);
  while (plain < 3 && Ops::AtLeast(codes, kMaxLevels << plain) != 0) ++plain;
  while (sparse < 3 && Ops::AtLeast(codes, kMaxLevels << sparse) != 0) ++sparse;
  if (sparse == 0) return {kPlainNibble, 0, false};
  const RicePlan without = PlanOf(kPlainNibble + (plain > kMaxParameter ? kMaxParameter : plain));
  const RicePlan with = PlanOf(kSparseNibble + (sparse > 6 ? 6 : sparse));
  return RiceBits<Ops>(with, codes) < RiceBits<Ops>(without, codes) ? with : without;
}

template <typename Ops, typename Writer>
ENCKE_INLINE void WriteRice(const RicePlan& plan, typename Ops::Codes codes, Writer& writer) {
  if (plan.nibble == 0) return;
  uint64_t active = kAll;
  if (plan.sparse) {
    active = Ops::AtLeast(codes, 1);
    codes = Ops::MinusOne(codes);
    writer.Put(active, 64);
  }
  int count = Popcount(active);
  for (int plane = 0; plane < plan.parameter; ++plane) {
    writer.Put(Ops::Pext(Ops::Plane(codes, plane), active), count);
  }
  for (int level = 1 << plan.parameter; active != 0; level += 1 << plan.parameter) {
    const uint64_t reached = level < 256 ? Ops::AtLeast(codes, level) : 0;
    writer.Put(Ops::Pext(reached, active), count);
    active = reached;
    count = Popcount(active);
  }
}

// False when the codes would not fit a byte.
template <typename Ops, typename Reader>
ENCKE_INLINE bool ReadRice(const RicePlan& plan, Reader& reader, typename Ops::Codes* codes) {
  *codes = Ops::Zero();
  if (plan.nibble == 0) return true;
  uint64_t active = kAll;
  if (plan.sparse) {
    active = reader.Get(64);
    Ops::AddWhere(active, 1, codes);
  }
  int count = Popcount(active);
  for (int plane = 0; plane < plan.parameter; ++plane) {
    Ops::AddWhere(Ops::Pdep(reader.Get(count), active), 1 << plane, codes);
  }
  for (int level = 1 << plan.parameter; active != 0; level += 1 << plan.parameter) {
    active = Ops::Pdep(reader.Get(count), active);
    if (active != 0 && level > 255) return false;
    Ops::AddWhere(active, 1 << plan.parameter, codes);
    count = Popcount(active);
  }
  return true;
}

template <typename T, typename Writer>
ENCKE_INLINE void WriteEscapes(const T* x, uint64_t escapes, Writer& writer) {
  for (; escapes != 0; escapes &= escapes - 1) {
    writer.Put(BitsOf(x[LowestBit(escapes)]), 8 * sizeof(T));
  }
}

// An extended block: flags, inner nibble, bitmap of escapes, the low bytes of wide codes as
// planes, the Rice-coded byte, the escapes as they are.
template <typename Ops, typename T, typename Writer>
ENCKE_HOST_DEVICE void WriteExtended(const T* x, const typename Ops::Quantized& block,
                                     Writer& writer) {
  const RicePlan plan = ChoosePlan<Ops>(block.wide ? block.high : block.low);
  const int flags = (block.escapes != 0 ? kEscapeFlag : 0) | (block.wide ? kWideFlag : 0);
  writer.Put(flags | plan.nibble << 2, 6);
  if (block.escapes != 0) writer.Put(block.escapes, 64);
  if (block.wide) {
    for (int plane = 0; plane < 8; ++plane) writer.Put(Ops::Plane(block.low, plane), 64);
  }
  WriteRice<Ops>(plan, block.wide ? block.high : block.low, writer);
  WriteEscapes(x, block.escapes, writer);
}

// What WriteExtended will write.
template <typename Ops, typename T>
ENCKE_HOST_DEVICE uint32_t ExtendedBits(const typename Ops::Quantized& block) {
  const typename Ops::Codes& codes = block.wide ? block.high : block.low;
  return 6 + (block.escapes != 0 ? 64 : 0) + (block.wide ? 8 * 64 : 0) +
         RiceBits<Ops>(ChoosePlan<Ops>(codes), codes) +
         static_cast<uint32_t>(Popcount(block.escapes) * 8 * sizeof(T));
}

// Writes one block, whose low bytes have this plan, and returns its nibble.
template <typename Ops, typename T, typename Writer>
ENCKE_INLINE int WriteBlock(const T* x, const typename Ops::Quantized& block, const RicePlan& plan,
                            Writer& writer) {
  if (__builtin_expect(block.escapes != 0 || block.wide, 0)) {
    WriteExtended<Ops, T>(x, block, writer);
    return kExtendedNibble;
  }
  WriteRice<Ops>(plan, block.low, writer);
  return plan.nibble;
}

// The codes of an extended block; false when it is broken.
template <typename Ops, typename Reader>
ENCKE_HOST_DEVICE bool ReadExtended(Reader& reader, typename Ops::Quantized* block) {
  const int head = static_cast<int>(reader.Get(6) & 63);
  const int nibble = head >> 2;
  if (nibble == kExtendedNibble) return false;
  block->escapes = (head & kEscapeFlag) != 0 ? reader.Get(64) : 0;
  block->wide = (head & kWideFlag) != 0;
  if (block->wide) {
    block->low = Ops::Zero();
    for (int plane = 0; plane < 8; ++plane) {
      Ops::AddWhere(reader.Get(64), 1 << plane, &block->low);
    }
  }
  return ReadRice<Ops>(PlanOf(nibble), reader, block->wide ? &block->high : &block->low);
}

template <typename T, typename Reader>
ENCKE_INLINE void ReadEscapes(uint64_t escapes, Reader& reader, T* out) {
  for (; escapes != 0; escapes &= escapes - 1) {
    SetBits(static_cast<uint32_t>(reader.Get(8 * sizeof(T))), out + LowestBit(escapes));
  }
}

}  // namespace
}  // namespace encke::simd
