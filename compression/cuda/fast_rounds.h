// Writes rounds (octet.h) of four blocks at a time: each lane gives its part of a round, eight
// rounds are put together at once, and go to a window of the stream.
#pragma once

#include "compression/cuda/fast_stream.h"
#include "compression/cuda/lane_bits.h"

namespace encke::cuda {

// Of eight rounds, each lane's two packed nibbles (NibbleTable). A row more than is needed, so that
// octets write to different banks.
using RoundRows = uint16_t[kOctets][kOctetLanes + 1][kOctetLanes];

// A round's bits of a lane, of which all eight codes or none take part.
ENCKE_INLINE uint32_t PackAll(bool some, uint32_t first, uint32_t second) {
  return some ? 0x4040 | second << 8 | first : 0;
}

template <typename Warp>
class RoundWriter {
 public:
  template <typename V>
  using PerLane = typename Warp::template PerLane<V>;

  // `rows`: in shared memory, 16-byte aligned.
  ENCKE_WARP_CODE RoundWriter(Warp& warp, RoundRows* rows) : warp_(warp), rows_(rows) {}

  ENCKE_WARP_CODE void SetWindow(const BitWindow& window) { window_ = window; }
  // Where what follows of the octet's block goes: a bit of the stream.
  ENCKE_WARP_CODE uint32_t& place(int lane) { return places_[lane]; }

  // pack(lane): its two packed nibbles of the next round.
  template <typename Pack>
  ENCKE_WARP_CODE void Add(const Pack& pack) {
    warp_.Locally([&](int lane) {
      (*rows_)[OctetOf(lane)][rounds_][LaneOfOctet(lane)] = static_cast<uint16_t>(pack(lane));
    });
    if (++rounds_ == kOctetLanes) Flush();
  }

  // Writes the rounds that lie in shared memory, no more than eight: each lane puts one together.
  ENCKE_WARP_CODE void Flush() {
    if (rounds_ == 0) return;
    PerLane<uint32_t> low, high, counts;
    warp_.Each([&](int lane) {
      low[lane] = high[lane] = counts[lane] = 0;
      if (LaneOfOctet(lane) >= rounds_) return;
      const auto* row = (*rows_)[OctetOf(lane)][LaneOfOctet(lane)];
      const Quad<uint32_t> lanes = *reinterpret_cast<const Quad<uint32_t>*>(row);
      uint32_t parts[2], part_counts[2];
      ENCKE_UNROLL
      for (int w = 0; w < 2; ++w) {
        const uint32_t selectors = w == 0 ? 0x6420 : 0x7531;
        JoinNibbles(PickBytes(lanes.x[0], lanes.x[1], selectors),
                    PickBytes(lanes.x[2], lanes.x[3], selectors), &parts[w], &part_counts[w]);
      }
      const uint64_t bits = static_cast<uint64_t>(parts[1]) << part_counts[0] | parts[0];
      low[lane] = static_cast<uint32_t>(bits);
      high[lane] = static_cast<uint32_t>(bits >> 32);
      counts[lane] = part_counts[0] + part_counts[1];
    });
    const PerLane<uint32_t> before = warp_.template SumBefore<kOctetLanes>(counts);
    PerLane<uint32_t> upto;
    PerLane<int> last;
    warp_.Locally([&](int lane) {
      PutBits(low[lane], high[lane], places_[lane] + before[lane]);
      upto[lane] = before[lane] + counts[lane];
      last[lane] = lane | (kOctetLanes - 1);
    });
    const PerLane<uint32_t> total = warp_.Shuffle(upto, last);
    warp_.Locally([&](int lane) { places_[lane] += total[lane]; });
    rounds_ = 0;
  }

  // What of it lies in the window. REQUIRES: that has been 0.
  ENCKE_WARP_CODE void PutBits(uint32_t low, uint32_t high, uint32_t position) const {
    const uint32_t word = position / 32 - window_.first;
    OrWord(word, FunnelLeft(0, low, position));
    OrWord(word + 1, FunnelLeft(low, high, position));
    OrWord(word + 2, FunnelLeft(high, 0, position));
  }

 private:
  // Packed nibbles of eight lanes, a byte each, one behind the other.
  ENCKE_WARP_CODE static void JoinNibbles(uint32_t first, uint32_t last, uint32_t* bits,
                                          uint32_t* count) {
    constexpr uint32_t kNibbles = 0x0f0f0f0f;
    // In each byte how many bits there are up to its nibble.
    const uint32_t upto_first = (first >> 4 & kNibbles) * kByteOnes;
    const uint32_t upto_last = (last >> 4 & kNibbles) * kByteOnes + (upto_first >> 24) * kByteOnes;
    first &= kNibbles;
    last &= kNibbles;
    *bits = first & 255;
    ENCKE_UNROLL
    for (int i = 1; i < kOctetLanes; ++i) {
      const uint32_t nibble = (i < 4 ? first >> 8 * i : last >> 8 * (i - 4)) & 255;
      const uint32_t begin = i <= 4 ? upto_first >> 8 * (i - 1) : upto_last >> 8 * (i - 5);
      *bits |= FunnelLeft(0, nibble, begin);
    }
    *count = upto_last >> 24;
  }

  // `word` of the window; modulo 2^32 where it lies before that.
  ENCKE_WARP_CODE void OrWord(uint32_t word, uint32_t bits) const {
    if (bits != 0 && word < window_.count) AtomicOr(&window_.words[word], bits);
  }

  Warp& warp_;
  RoundRows* rows_;
  BitWindow window_ = {};
  int rounds_ = 0;  // in shared memory
  PerLane<uint32_t> places_;
};

}  // namespace encke::cuda
