// How the FAST encoder codes blocks whose codes four octets have: simd::ChoosePlan for all of a
// warp.
#pragma once

#include "compression/cuda/fast_stream.h"

namespace encke::cuda {

// A lane's codes of a block.
struct FastCodes {
  OctetBytes low, high;
  OctetBytes escapes;  // 1 where the element is an escape
};

// How a block is coded.
struct BlockPlan {
  uint32_t bits;  // of the stream
  int nibble;
  int inner;  // as nibble, of extended blocks what codes their bytes
  bool wide, escaped;
};

// As simd::ChoosePlan does, whose last choice is left to the caller. `sum`, `count`: of the codes
// and of those that are not 0; `any`: their bits.
ENCKE_INLINE void FindCandidates(uint32_t sum, uint32_t count, uint32_t any, simd::RicePlan* plain,
                                 simd::RicePlan* sparse) {
  *plain = *sparse = {};
  if (count == 0) return;
  // The least with which the greatest code has no more than kMaxLevels, or 3.
  static_assert(simd::kMaxLevels == 32);
  const int least = Least(simd::HighestBit(any) - 4, 3);
  const int with = Greatest(simd::RiceParameter(sum - count, count), least);
  const int without = with == 0 ? 0 : Greatest(simd::RiceParameter(sum, 64), least);
  *plain = simd::PlanOf(simd::kPlainNibble + Least(without, int{simd::kMaxParameter}));
  if (with > 0) *sparse = simd::PlanOf(simd::kSparseNibble + Least(with, 6));
}

// With codes above 255, so many escapes of `escape_bits` each, or neither.
ENCKE_INLINE void Extend(bool wide, uint32_t escapes, uint32_t escape_bits, BlockPlan* plan) {
  plan->wide = wide;
  plan->escaped = escapes > 0;
  if (!plan->wide && !plan->escaped) return;
  plan->nibble = simd::kExtendedNibble;
  plan->bits += 6 + (wide ? 8 * 64 : 0) + (plan->escaped ? 64 + escapes * escape_bits : 0);
}

// Plans of the blocks, and in `bytes` what their inner nibbles code. `extended`: some may be.
template <typename Warp>
ENCKE_WARP_CODE void PlanBlocks(Warp& warp, const typename Warp::template PerLane<FastCodes>& lanes,
                                bool extended, uint32_t escape_bits,
                                typename Warp::template PerLane<BlockPlan>* plans,
                                typename Warp::template PerLane<OctetBytes>* bytes) {
  using PerLane32 = typename Warp::template PerLane<uint32_t>;
  PerLane32 bits;
  warp.Locally([&](int lane) {
    bits[lane] = OrOfBytes(lanes[lane].low);
    if (extended) bits[lane] |= OrOfBytes(lanes[lane].high) << 8;
  });
  const PerLane32 all = warp.template OrOfGroup<kOctetLanes>(bits);
  PerLane32 sums, shifted;
  warp.Locally([&](int lane) {
    const FastCodes& codes = lanes[lane];
    const OctetBytes inner = extended && all[lane] > 255 ? codes.high : codes.low;
    (*bytes)[lane] = inner;
    sums[lane] = SumOfBytes(inner) | SumOfBytes(NonzeroOf(inner)) << 15;
    if (extended) sums[lane] |= SumOfBytes(codes.escapes) << 22;
  });
  const PerLane32 total = warp.template SumOfGroup<kOctetLanes>(sums);
  typename Warp::template PerLane<simd::RicePlan> plain, sparse;
  warp.Locally([&](int lane) {
    const uint32_t any = extended && all[lane] > 255 ? all[lane] >> 8 : all[lane];
    FindCandidates(total[lane] & 0x7fff, total[lane] >> 15 & 127, any, &plain[lane], &sparse[lane]);
    shifted[lane] = SumShifted((*bytes)[lane], plain[lane].parameter) |
                    SumShifted(LessOne((*bytes)[lane]), sparse[lane].parameter) << 16;
  });
  const PerLane32 unary = warp.template SumOfGroup<kOctetLanes>(shifted);
  warp.Locally([&](int lane) {
    const uint32_t count = total[lane] >> 15 & 127;
    int inner = plain[lane].nibble;
    uint32_t rice = inner == 0 ? 0 : 64 * (plain[lane].parameter + 1) + (unary[lane] & 0xffff);
    const uint32_t with = 64 + count * (sparse[lane].parameter + 1) + (unary[lane] >> 16);
    if (sparse[lane].nibble != 0 && with < rice) {
      inner = sparse[lane].nibble;
      rice = with;
    }
    (*plans)[lane] = {rice, inner, inner, false, false};
    if (extended) Extend(all[lane] > 255, total[lane] >> 22, escape_bits, &(*plans)[lane]);
  });
}

}  // namespace encke::cuda
