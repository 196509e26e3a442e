// A block of 64 codes as eight lanes have it together, an octet: what each does with its eight
// codes, four to a word, and where its bits lie among the others'.
//
// Bit planes and levels of a block (compression/simd/rice.h), here together called rounds, are bits
// of those codes that are still active, without gaps.
#pragma once

#include "compression/cuda/portable.h"
#include "compression/cuda/warp.h"

namespace encke::cuda {

constexpr int kOctetLanes = 8;
constexpr int kOctets = kWarpLanes / kOctetLanes;  // of a warp
constexpr uint32_t kByteOnes = 0x01010101;

ENCKE_INLINE int LaneOfOctet(int lane) { return lane % kOctetLanes; }
ENCKE_INLINE int OctetOf(int lane) { return lane / kOctetLanes; }

// A byte for each of a lane's elements: of lane l those of elements 4l to 4l + 3, lowest first, and
// of elements 32 + 4l to 32 + 4l + 3. So neighbours load and store side by side.
struct OctetBytes {
  uint32_t word[2];

  ENCKE_INLINE_MEMBER bool any() const { return (word[0] | word[1]) != 0; }
};

// First element in the block of a lane's word.
ENCKE_INLINE uint32_t WordBegin(int lane, int word) {
  return static_cast<uint32_t>(4 * LaneOfOctet(lane) + 32 * word);
}

// Bytes of `high` and `low`, chosen by the four nibbles of `selectors`: 0 to 3 of `low`, 4 to 7 of
// `high`.
ENCKE_INLINE uint32_t PickBytes(uint32_t low, uint32_t high, uint32_t selectors) {
#ifdef __CUDA_ARCH__
  return __byte_perm(low, high, selectors);
#else
  const uint64_t both = static_cast<uint64_t>(high) << 32 | low;
  uint32_t picked = 0;
  for (int i = 0; i < 4; ++i) {
    picked |= static_cast<uint32_t>(both >> 8 * (selectors >> 4 * i & 7) & 255) << 8 * i;
  }
  return picked;
#endif
}

// Sum of the products of the words' bytes.
ENCKE_INLINE uint32_t DotBytes(uint32_t a, uint32_t b, uint32_t sum = 0) {
#ifdef __CUDA_ARCH__
  return __dp4a(a, b, sum);
#else
  for (int i = 0; i < 32; i += 8) sum += (a >> i & 255) * (b >> i & 255);
  return sum;
#endif
}

// 1 where a byte is not 0.
ENCKE_INLINE uint32_t NonzeroBytes(uint32_t bytes) {
  return (((bytes & 0x7f7f7f7f) + 0x7f7f7f7f) | bytes) >> 7 & kByteOnes;
}

ENCKE_INLINE uint32_t AddBytes(uint32_t a, uint32_t b) {
  return ((a & 0x7f7f7f7f) + (b & 0x7f7f7f7f)) ^ ((a ^ b) & 0x80808080);
}

ENCKE_INLINE uint32_t ShiftBytesRight(uint32_t bytes, int count) {
  return bytes >> count & kByteOnes * (255u >> count);
}

// Four bits <-> the lowest bits of four bytes.
ENCKE_INLINE uint32_t SpreadBits(uint32_t bits) { return (bits & 15) * 0x00204081 & kByteOnes; }
ENCKE_INLINE uint32_t GatherBits(uint32_t bytes) { return DotBytes(bytes, 0x08040201); }

// How many bytes of a lane are 1, of the second word 16 bits up. REQUIRES: all are 0 or 1.
ENCKE_INLINE uint32_t CountsOf(const OctetBytes& bytes) {
  return DotBytes(bytes.word[0], kByteOnes) | DotBytes(bytes.word[1], kByteOnes) << 16;
}

// Of a lane's eight bytes.
ENCKE_INLINE uint32_t OrOfBytes(const OctetBytes& bytes) {
  const uint32_t half = bytes.word[0] | bytes.word[1], quarter = half | half >> 16;
  return (quarter | quarter >> 8) & 255;
}
ENCKE_INLINE uint32_t SumOfBytes(const OctetBytes& bytes) {
  return DotBytes(bytes.word[0], kByteOnes, DotBytes(bytes.word[1], kByteOnes));
}
ENCKE_INLINE OctetBytes Shifted(const OctetBytes& bytes, int count) {
  return {{ShiftBytesRight(bytes.word[0], count), ShiftBytesRight(bytes.word[1], count)}};
}
ENCKE_INLINE uint32_t SumShifted(const OctetBytes& bytes, int count) {
  return SumOfBytes(Shifted(bytes, count));
}
ENCKE_INLINE OctetBytes NonzeroOf(const OctetBytes& bytes) {
  return {{NonzeroBytes(bytes.word[0]), NonzeroBytes(bytes.word[1])}};
}
// Zero stays zero.
ENCKE_INLINE OctetBytes LessOne(const OctetBytes& bytes) {
  const OctetBytes ones = NonzeroOf(bytes);
  return {{bytes.word[0] - ones.word[0], bytes.word[1] - ones.word[1]}};
}

// What becomes of four codes' bits where only some of the codes are active, for all cases: looked
// up, since a GPU has no instruction for it. A byte's upper half is a number of codes.
struct NibbleTable {
  uint8_t entries[256];

  static constexpr uint32_t kEntries = 256;

  // Of bits that lie without gaps in `packed`, those of each active code, and how many are 1.
  ENCKE_INLINE_MEMBER static uint8_t Deposited(uint32_t active, uint32_t packed) {
    uint32_t bits = 0, ones = 0;
    for (int i = 0; i < 4; ++i) {
      if ((active >> i & 1) == 0) continue;
      bits |= (packed & 1) << i;
      ones += packed & 1;
      packed >>= 1;
    }
    return static_cast<uint8_t>(ones << 4 | bits);
  }
  // Of each code's `bits`, those of active ones without gaps, and how many are active.
  ENCKE_INLINE_MEMBER static uint8_t Extracted(uint32_t active, uint32_t bits) {
    uint32_t packed = 0, count = 0;
    for (int i = 0; i < 4; ++i) {
      if ((active >> i & 1) == 0) continue;
      packed |= (bits >> i & 1) << count;
      ++count;
    }
    return static_cast<uint8_t>(count << 4 | packed);
  }

  // REQUIRES: both are below 16.
  ENCKE_INLINE_MEMBER uint32_t At(uint32_t active, uint32_t bits) const {
    return entries[active << 4 | bits];
  }
};

// Where a lane's bits lie among those of an octet: how many lie before those of each of its words.
struct OctetOffsets {
  uint32_t before;  // the second word's 16 bits up
  uint32_t sum;     // likewise, of all lanes

  ENCKE_INLINE_MEMBER uint32_t first() const { return before & 0xffff; }
  ENCKE_INLINE_MEMBER uint32_t second() const { return (sum & 0xffff) + (before >> 16); }
  ENCKE_INLINE_MEMBER uint32_t of(int word) const { return word == 0 ? first() : second(); }
  ENCKE_INLINE_MEMBER uint32_t total() const { return (sum & 0xffff) + (sum >> 16); }
};

// `counts` of each lane, of its second word 16 bits up, added up over its octet.
template <typename Warp>
ENCKE_WARP_CODE typename Warp::template PerLane<OctetOffsets> FindOffsets(
    Warp& warp, const typename Warp::template PerLane<uint32_t>& counts) {
  const auto before = warp.template SumBefore<kOctetLanes>(counts);
  typename Warp::template PerLane<uint32_t> upto;
  typename Warp::template PerLane<int> last;
  warp.Locally([&](int lane) {
    upto[lane] = before[lane] + counts[lane];
    last[lane] = lane | (kOctetLanes - 1);
  });
  const auto total = warp.Shuffle(upto, last);
  typename Warp::template PerLane<OctetOffsets> offsets;
  warp.Locally([&](int lane) { offsets[lane] = {before[lane], total[lane]}; });
  return offsets;
}

// The lower 32 bits of (high, low) >> count, of which the lowest five bits count.
ENCKE_INLINE uint32_t FunnelRight(uint32_t low, uint32_t high, uint32_t count) {
#ifdef __CUDA_ARCH__
  return __funnelshift_r(low, high, count);
#else
  return static_cast<uint32_t>((static_cast<uint64_t>(high) << 32 | low) >> (count & 31));
#endif
}

// The upper 32 bits of (high, low) << count, likewise.
ENCKE_INLINE uint32_t FunnelLeft(uint32_t low, uint32_t high, uint32_t count) {
#ifdef __CUDA_ARCH__
  return __funnelshift_l(low, high, count);
#else
  return static_cast<uint32_t>((static_cast<uint64_t>(high) << 32 | low) << (count & 31) >> 32);
#endif
}

}  // namespace encke::cuda
