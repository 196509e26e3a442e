// The FAST encoder for one chunk and one warp; the stream is drawn in doc/codec-format.md.
//
// Two passes over the chunk's blocks, 32 at a time: the first finds how long each block's code is,
// the second writes the blocks to where the sums of those lengths put them. A lane codes a block.
// What is written goes through a window in shared memory, since neighbours share words.
#pragma once

#include "compression/cuda/fast_tile.h"
#include "compression/cuda/lane_bits.h"
#include "compression/cuda/stored_chunk.h"
#include "compression/simd/rice.h"

namespace encke::cuda {

// A segment: so many blocks that one lane decodes, one after another. Their length in bits, one
// number a segment, is kept beside the stream: a mark.
constexpr uint32_t kSegmentBlocks = 8;

ENCKE_INLINE uint32_t BlocksOf(uint32_t elements) { return CeilDivide(elements, kBlockElements); }
ENCKE_INLINE uint32_t SegmentsOf(uint32_t elements) {
  return CeilDivide(BlocksOf(elements), kSegmentBlocks);
}
// Head and nibbles, after which the bit stream begins.
ENCKE_INLINE uint32_t BitsBegin(uint32_t elements) {
  return kHeadBytes + (BlocksOf(elements) + 1) / 2;
}

constexpr int kResidentTiles = 2;  // chunks of no more are quantised only once

// Shared memory of a warp.
struct FastEncodeMemory {
  FastTile tiles[kResidentTiles];
};

// A stream of kind COPY: the elements' bytes, one byte further on.
template <typename Warp, typename T>
ENCKE_WARP_CODE ENCKE_NOINLINE void WriteCopy(Warp warp, const T* data, ByteSink sink) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(data);
  warp.Each([&](int lane) {
    for (uint32_t word = lane; word * 4 < sink.end; word += kWarpLanes) {
      uint32_t value = 0;
      for (uint32_t i = 0; i < 4 && word * 4 + i < sink.end; ++i) {
        const uint32_t at = word * 4 + i;
        const uint8_t byte = at == 0 ? static_cast<uint8_t>(HeadByte::COPY) : bytes[at - 1];
        value |= static_cast<uint32_t>(byte) << 8 * i;
      }
      sink.StoreWord(word, value);
    }
  });
}

// Of the finite elements, where floats overflow.
template <typename Warp, typename T>
ENCKE_WARP_CODE ENCKE_NOINLINE double SumOfSquares(Warp warp, const T* data, uint32_t elements) {
  typename Warp::template PerLane<double> squares;
  warp.Each([&](int lane) {
    squares[lane] = 0;
    for (uint32_t i = lane; i < elements; i += kWarpLanes) {
      const double x = Widen(data[i]);
      if (fabs(x) < INFINITY) squares[lane] += x * x;
    }
  });
  return warp.Sum(squares);
}

// Blocks with escapes or codes above 255, which are rare, are quantised once more, by one lane.
struct ExtendedSize {
  uint32_t bits;
  uint32_t escapes;
};
template <typename T, typename Rule>
ENCKE_HOST_DEVICE ENCKE_NOINLINE ExtendedSize MeasureExtended(const T* data, uint32_t begin,
                                                              uint32_t elements,
                                                              RuleTables<Rule> tables) {
  LaneBlock<T> block;
  QuantizeBlock<T, Rule>(data, begin, elements, tables, &block);
  return {simd::ExtendedBits<PlaneOps, T>(block.codes),
          static_cast<uint32_t>(Popcount(block.codes.escapes))};
}
template <typename T, typename Rule>
ENCKE_HOST_DEVICE ENCKE_NOINLINE void WriteExtended(const T* data, uint32_t begin,
                                                    uint32_t elements, RuleTables<Rule> tables,
                                                    BitWindow window, uint32_t position) {
  LaneBlock<T> block;
  QuantizeBlock<T, Rule>(data, begin, elements, tables, &block);
  LaneBitWriter writer(window, position);
  simd::WriteExtended<PlaneOps, T>(block.x, block.codes, writer);
  writer.Flush();
}

template <typename Warp, typename T, typename Rule>
class FastEncoder {
 public:
  // `data`: the chunk's elements. REQUIRES: at most 2^26 of them; `data`, `memory` outlive it.
  ENCKE_WARP_CODE FastEncoder(Warp& warp, const T* data, uint32_t elements,
                              const RuleTables<Rule>& tables, FastEncodeMemory* memory)
      : warp_(warp), data_(data), elements_(elements), tables_(tables), memory_(memory) {
    warp_.Each([&](int lane) { sums_[lane] = {}; });
  }

  // Length of the stream in bytes: to be called first.
  ENCKE_WARP_CODE uint32_t Measure() {
    uint64_t bits = 0;
    for (uint32_t tile = 0; tile < Tiles(); ++tile) {
      Quantize(tile);
      Plan(tile);
      bits += Total(lengths_);
    }
    measuring_ = false;
    const uint64_t size = BitsBegin(elements_) + (bits + 7) / 8;
    copied_ = size > elements_ * sizeof(T);
    size_ = static_cast<uint32_t>(copied_ ? kHeadBytes + elements_ * sizeof(T) : size);
    return size_;
  }

  // Writes the stream to `out`, and the chunk's marks.
  ENCKE_WARP_CODE void Write(uint8_t* out, uint16_t* marks) {
    auto* words = reinterpret_cast<uint32_t*>(out);
    if (copied_) return WriteCopy(warp_, data_, {words, 0, size_});
    warp_.Each([&](int lane) {
      if (lane == 0) out[0] = static_cast<uint8_t>(HeadByte::FAST);
    });
    const ByteSink sink = {words, BitsBegin(elements_), size_};
    uint32_t carry = 0;
    uint32_t position = BitsBegin(elements_) * 8;
    for (uint32_t tile = 0; tile < Tiles(); ++tile) {
      if (Tiles() > kResidentTiles) Quantize(tile);
      Plan(tile);
      WriteNibbles(tile, out);
      WriteMarks(tile, marks);
      position = WriteTile(tile, position, sink, &carry);
    }
    warp_.Each([&](int lane) {
      if (lane == 0 && position % 32 != 0) sink.StoreWord(position / 32, carry);
    });
  }

  // After Measure.
  ENCKE_WARP_CODE ChunkStatistics Statistics() {
    PerLane<uint32_t> nonzero, escapes;
    PerLane<double> squares;
    warp_.Each([&](int lane) {
      nonzero[lane] = sums_[lane].nonzero;
      escapes[lane] = sums_[lane].escapes;
      squares[lane] = sums_[lane].squares;
    });
    ChunkStatistics sum = {warp_.Sum(nonzero), copied_ ? elements_ : warp_.Sum(escapes),
                           warp_.Sum(squares)};
    if (!(sum.squares < INFINITY)) sum.squares = SumOfSquares(warp_, data_, elements_);
    return sum;
  }

 private:
  template <typename V>
  using PerLane = typename Warp::template PerLane<V>;

  ENCKE_WARP_CODE uint32_t Tiles() const { return CeilDivide(elements_, kTileElements); }
  ENCKE_WARP_CODE FastTile* TileAt(uint32_t tile) { return &memory_->tiles[tile % kResidentTiles]; }

  ENCKE_WARP_CODE uint32_t Total(const PerLane<uint32_t>& values) { return warp_.Sum(values); }

  ENCKE_WARP_CODE void Quantize(uint32_t tile) {
    PerLane<LaneSums> again;
    warp_.Each([&](int lane) { again[lane] = {}; });
    extended_[tile % kResidentTiles] =
        QuantizeTile<Warp, T, Rule>(warp_, data_, tile * kTileElements, elements_, tables_,
                                    TileAt(tile), measuring_ ? &sums_ : &again);
  }

  // Each lane's block: its codes, its nibble and how many bits it takes.
  ENCKE_WARP_CODE void Plan(uint32_t tile) {
    const uint32_t extended = extended_[tile % kResidentTiles];
    const FastTile& codes = *TileAt(tile);
    warp_.Each([&](int lane) {
      const uint32_t begin = tile * kTileElements + lane * kBlockElements;
      nibbles_[lane] = 0;
      lengths_[lane] = 0;
      if (begin >= elements_) return;
      if ((extended >> lane & 1) != 0) {
        nibbles_[lane] = simd::kExtendedNibble;
        const ExtendedSize size = MeasureExtended<T, Rule>(data_, begin, elements_, tables_);
        lengths_[lane] = size.bits;
        if (measuring_) sums_[lane].escapes += size.escapes;
        return;
      }
      codes_[lane] = PlaneOps::LoadCodes(codes.words[lane]);
      const simd::RicePlan plan = simd::ChoosePlan<PlaneOps>(codes_[lane]);
      nibbles_[lane] = plan.nibble;
      lengths_[lane] = simd::RiceBits<PlaneOps>(plan, codes_[lane]);
    });
  }

  ENCKE_WARP_CODE void WriteBlock(int lane, uint32_t tile, const BitWindow& window,
                                  uint32_t position) {
    if (nibbles_[lane] == simd::kExtendedNibble) {
      const uint32_t begin = tile * kTileElements + lane * kBlockElements;
      return WriteExtended<T, Rule>(data_, begin, elements_, tables_, window, position);
    }
    LaneBitWriter writer(window, position);
    simd::WriteRice<PlaneOps>(simd::PlanOf(nibbles_[lane]), codes_[lane], writer);
    writer.Flush();
  }

  // Two blocks' nibbles make a byte.
  ENCKE_WARP_CODE void WriteNibbles(uint32_t tile, uint8_t* out) {
    PerLane<int> next;
    warp_.Each([&](int lane) { next[lane] = lane + 1; });
    const PerLane<int> upper = warp_.Shuffle(nibbles_, next);
    warp_.Each([&](int lane) {
      const uint32_t block = tile * kTileBlocks + lane;
      if (lane % 2 != 0 || block >= BlocksOf(elements_)) return;
      out[kHeadBytes + block / 2] = static_cast<uint8_t>(nibbles_[lane] | upper[lane] << 4);
    });
  }

  ENCKE_WARP_CODE void WriteMarks(uint32_t tile, uint16_t* marks) {
    before_ = warp_.SumBefore(lengths_);
    PerLane<int> next;
    warp_.Each([&](int lane) { next[lane] = lane + kSegmentBlocks; });
    const PerLane<uint32_t> ends = warp_.Shuffle(before_, next);
    const uint32_t total = Total(lengths_);
    if (marks == nullptr) return;
    warp_.Each([&](int lane) {
      const uint32_t block = tile * kTileBlocks + lane;
      if (lane % kSegmentBlocks != 0 || block >= BlocksOf(elements_)) return;
      const uint32_t end = lane + kSegmentBlocks < kTileBlocks ? ends[lane] : total;
      marks[block / kSegmentBlocks] = static_cast<uint16_t>(end - before_[lane]);
    });
  }

  // Writes the tile's blocks from bit `position` on and returns where they end. `carry`: the word
  // that the tile before began, then the one that this tile began.
  ENCKE_WARP_CODE uint32_t WriteTile(uint32_t tile, uint32_t position, const ByteSink& sink,
                                     uint32_t* carry) {
    const uint32_t end = position + Total(lengths_), last = end / 32;
    // The codes have been read: their memory is the window. Nearly always once is enough.
    uint32_t* window = &TileAt(tile)->words[0][0];
    for (uint32_t first = position / 32; first <= last; first += kTileWords) {
      const uint32_t count = Least(last - first + 1, kTileWords);
      warp_.Each([&](int lane) {
        for (uint32_t i = lane; i < count; i += kWarpLanes) window[i] = 0;
      });
      warp_.Each([&](int lane) {
        if (lengths_[lane] > 0) {
          WriteBlock(lane, tile, {window, first, count}, position + before_[lane]);
        }
        if (lane == 0 && first == position / 32) AtomicOr(window, *carry);
      });
      const uint32_t whole = Least(last - first, kTileWords);
      warp_.Each([&](int lane) {
        for (uint32_t i = lane; i < whole; i += kWarpLanes) sink.StoreWord(first + i, window[i]);
      });
      if (whole < kTileWords) *carry = window[whole];
    }
    return end;
  }

  Warp& warp_;
  const T* data_;
  uint32_t elements_;
  RuleTables<Rule> tables_;
  FastEncodeMemory* memory_;
  bool measuring_ = true;
  bool copied_ = false;
  uint32_t size_ = 0;
  uint32_t extended_[kResidentTiles] = {};  // one bit a block
  PerLane<LaneSums> sums_;
  // Of the tile planned last.
  PerLane<PlaneOps::Codes> codes_;
  PerLane<int> nibbles_;
  PerLane<uint32_t> lengths_;  // in bits
  PerLane<uint32_t> before_;   // sum of the lengths of the lanes before
};

}  // namespace encke::cuda
