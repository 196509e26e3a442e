// Block operations for one lane of a GPU's warp, which has a block of 64 codes to itself: the codes
// are turned into bit planes, after which 64 elements take a few word operations as they do in a
// vector register (compression/simd/ops_reference.h says what each operation gives).
#pragma once

#include "compression/cuda/portable.h"

namespace encke::cuda {

constexpr int kPlanes = 8;
constexpr int kCodeWords = 16;  // a block's low bytes, four to a word

// Eight bytes with 8 bits each <-> eight bytes with bit 0 of all, bit 1 of all, ...
// (H. S. Warren, "Hacker's Delight", 2nd edition, section 7-3.)
ENCKE_INLINE uint64_t Transpose8x8(uint64_t x) {
  uint64_t t = (x ^ x >> 7) & 0x00aa00aa00aa00aaull;
  x ^= t ^ t << 7;
  t = (x ^ x >> 14) & 0x0000cccc0000ccccull;
  x ^= t ^ t << 14;
  t = (x ^ x >> 28) & 0x00000000f0f0f0f0ull;
  return x ^ t ^ t << 28;
}

struct PlaneOps {
  struct Codes {
    uint64_t plane[kPlanes];  // bit i of plane p: bit p of code i
  };

  struct Quantized {
    Codes low, high;
    uint64_t escapes;
    bool wide;
  };

  ENCKE_INLINE_MEMBER static Codes Zero() { return {}; }

  // `words` are kCodeWords with four codes each.
  ENCKE_INLINE_MEMBER static Codes LoadCodes(const uint32_t* words) {
    Codes codes = {};
    ENCKE_UNROLL
    for (int group = 0; group < 8; ++group) {
      const uint64_t bytes = words[2 * group] | static_cast<uint64_t>(words[2 * group + 1]) << 32;
      const uint64_t planes = Transpose8x8(bytes);
      ENCKE_UNROLL
      for (int p = 0; p < kPlanes; ++p) codes.plane[p] |= (planes >> 8 * p & 255) << 8 * group;
    }
    return codes;
  }
  ENCKE_INLINE_MEMBER static void StoreCodes(const Codes& codes, uint32_t* words) {
    ENCKE_UNROLL
    for (int group = 0; group < 8; ++group) {
      uint64_t planes = 0;
      ENCKE_UNROLL
      for (int p = 0; p < kPlanes; ++p) planes |= (codes.plane[p] >> 8 * group & 255) << 8 * p;
      const uint64_t bytes = Transpose8x8(planes);
      words[2 * group] = static_cast<uint32_t>(bytes);
      words[2 * group + 1] = static_cast<uint32_t>(bytes >> 32);
    }
  }

  ENCKE_INLINE_MEMBER static uint64_t AtLeast(const Codes& codes, int least) {
    uint64_t greater = 0, equal = ~uint64_t{0};
    ENCKE_UNROLL
    for (int p = kPlanes - 1; p >= 0; --p) {
      const uint64_t bit = (least >> p & 1) != 0 ? ~uint64_t{0} : 0;
      greater |= equal & codes.plane[p] & ~bit;
      equal &= ~(codes.plane[p] ^ bit);
    }
    return greater | equal;
  }

  // Chosen, not indexed: registers have no addresses.
  ENCKE_INLINE_MEMBER static uint64_t Plane(const Codes& codes, int plane) {
    uint64_t chosen = 0;
    ENCKE_UNROLL
    for (int p = 0; p < kPlanes; ++p) {
      if (p == plane) chosen = codes.plane[p];
    }
    return chosen;
  }

  ENCKE_INLINE_MEMBER static uint32_t SumShifted(const Codes& codes, int shift) {
    uint32_t sum = 0;
    ENCKE_UNROLL
    for (int p = 0; p < kPlanes; ++p) {
      if (p >= shift) sum += static_cast<uint32_t>(Popcount(codes.plane[p])) << (p - shift);
    }
    return sum;
  }

  // Zero stays zero.
  ENCKE_INLINE_MEMBER static Codes MinusOne(Codes codes) {
    uint64_t borrow = AtLeast(codes, 1);
    ENCKE_UNROLL
    for (int p = 0; p < kPlanes; ++p) {
      codes.plane[p] ^= borrow;
      borrow &= codes.plane[p];
    }
    return codes;
  }

  // REQUIRES: `value` is a power of two.
  ENCKE_INLINE_MEMBER static void AddWhere(uint64_t where, int value, Codes* codes) {
    uint64_t carry = 0;
    ENCKE_UNROLL
    for (int p = 0; p < kPlanes; ++p) {
      carry |= (value >> p & 1) != 0 ? where : 0;
      const uint64_t before = codes->plane[p];
      codes->plane[p] = before ^ carry;
      carry &= before;
    }
  }

  ENCKE_INLINE_MEMBER static uint64_t Pext(uint64_t bits, uint64_t mask) {
    if (mask == ~uint64_t{0}) return bits;
    const auto low = static_cast<uint32_t>(mask), high = static_cast<uint32_t>(mask >> 32);
    return Pext32(static_cast<uint32_t>(bits), low) |
           static_cast<uint64_t>(Pext32(static_cast<uint32_t>(bits >> 32), high)) << Popcount(low);
  }

  ENCKE_INLINE_MEMBER static uint64_t Pdep(uint64_t packed, uint64_t mask) {
    if (mask == ~uint64_t{0}) return packed;
    const auto low = static_cast<uint32_t>(mask), high = static_cast<uint32_t>(mask >> 32);
    return Pdep32(static_cast<uint32_t>(packed), low) |
           static_cast<uint64_t>(Pdep32(static_cast<uint32_t>(packed >> Popcount(low)), high))
               << 32;
  }

 private:
  ENCKE_INLINE_MEMBER static uint32_t Pext32(uint32_t bits, uint32_t mask) {
    uint32_t packed = 0;
    for (uint32_t to = 1; mask != 0; mask &= mask - 1, to <<= 1) {
      if ((bits & mask & (0 - mask)) != 0) packed |= to;
    }
    return packed;
  }

  ENCKE_INLINE_MEMBER static uint32_t Pdep32(uint32_t packed, uint32_t mask) {
    uint32_t bits = 0;
    for (; mask != 0; mask &= mask - 1, packed >>= 1) {
      if ((packed & 1) != 0) bits |= mask & (0 - mask);
    }
    return bits;
  }
};

}  // namespace encke::cuda
