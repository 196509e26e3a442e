// A block of 64 codes as eight lanes have it together, an octet: what each does with its eight
// codes, four to a word, and where its bits lie among the others'.
//
// Bit planes and levels of a block (compression/simd/rice.h) are bits of those codes that are still
// active, without gaps. A lane finds its own by its ranks: how many active codes lie before.
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

// Bytes of `high` and `low`, chosen by the lowest four nibbles of `selectors`: 0 to 3 of `low`, 4 to
// 7 of `high`. REQUIRES: no other nibbles.
ENCKE_INLINE uint32_t PickBytes(uint32_t low, uint32_t high, uint32_t selectors) {
#ifdef __CUDA_ARCH__
  uint32_t picked;  // __byte_perm would mask the nibbles first
  asm("prmt.b32 %0, %1, %2, %3;" : "=r"(picked) : "r"(low), "r"(high), "r"(selectors));
  return picked;
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

// Of a lane's codes, those that are active.
class ActiveCodes {
 public:
  ActiveCodes() = default;
  // `bytes`: 1 where active, else 0.
  ENCKE_INLINE_MEMBER explicit ActiveCodes(const OctetBytes& bytes) : bytes_(bytes) {
    const uint32_t upto[2] = {bytes.word[0] * kByteOnes, bytes.word[1] * kByteOnes};
    counts_ = upto[0] >> 24 | upto[1] >> 24 << 16;
    // How many of its word lie before each code; the words' nibbles in turn, as PickBytes takes them.
    selectors_ = (upto[0] - bytes.word[0]) | ((upto[1] - bytes.word[1]) << 4 | 0x40404040);
  }

  // How many there are of each word, the second one's 16 bits up.
  ENCKE_INLINE_MEMBER uint32_t counts() const { return counts_; }

  // The bits of `packed`, one for each active code, as bytes of the codes.
  ENCKE_INLINE_MEMBER OctetBytes Deposit(uint32_t packed0, uint32_t packed1) const {
    const OctetBytes bits = Pick(SpreadBits(packed0), SpreadBits(packed1));
    return {{bits.word[0] & bytes_.word[0], bits.word[1] & bytes_.word[1]}};
  }

  // The other way round. REQUIRES: `bytes` are 0 or 1, and 0 where not active.
  ENCKE_INLINE_MEMBER void Extract(const OctetBytes& bytes, uint32_t* packed0,
                                   uint32_t* packed1) const {
    const OctetBytes weights = Pick(0x08040201, 0x08040201);
    *packed0 = DotBytes(bytes.word[0], weights.word[0]);
    *packed1 = DotBytes(bytes.word[1], weights.word[1]);
  }

 private:
  // For each code the byte of its word's `from` that its rank says.
  ENCKE_INLINE_MEMBER OctetBytes Pick(uint32_t from0, uint32_t from1) const {
    const uint32_t first = PickBytes(from0, from1, selectors_);
    const uint32_t last = PickBytes(from0, from1, selectors_ >> 16);
    return {{PickBytes(first, last, 0x6420), PickBytes(first, last, 0x7531)}};
  }

  OctetBytes bytes_;
  uint32_t counts_;
  uint32_t selectors_;
};

// Where a lane's bits lie among those of an octet: how many lie before those of each of its words.
struct OctetOffsets {
  uint32_t before;  // as ActiveCodes::counts
  uint32_t sum;     // likewise, of all lanes

  ENCKE_INLINE_MEMBER uint32_t first() const { return before & 0xffff; }
  ENCKE_INLINE_MEMBER uint32_t second() const { return (sum & 0xffff) + (before >> 16); }
  ENCKE_INLINE_MEMBER uint32_t of(int word) const { return word == 0 ? first() : second(); }
  ENCKE_INLINE_MEMBER uint32_t total() const { return (sum & 0xffff) + (sum >> 16); }
};

// `counts` of each lane, added up over its octet.
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

}  // namespace encke::cuda
