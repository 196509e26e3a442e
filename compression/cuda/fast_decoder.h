// The FAST decoder for one warp: 32 blocks at a time, a lane decodes one, then all lanes together
// turn the codes into elements and store them side by side.
//
// Where a block begins is known only after the blocks before it. So a lane decodes a whole segment
// of blocks, one after another, whose beginning follows from the marks kept beside the stream
// (fast_encoder.h). Streams without marks, as the CPU writes them, are walked by one lane first.
#pragma once

#include "compression/cuda/fast_encoder.h"

namespace encke::cuda {

// Where decoded elements go: those of [first, end) of a value, of which data[0] is `first`.
template <typename T>
struct DecodeTarget {
  T* data;
  int64_t first;
  int64_t end;
};

// A block of a chunk, which starts at element `chunk` of its value.
struct BlockPlace {
  int64_t chunk;
  uint32_t begin;  // element of the chunk
  uint32_t count;  // elements; 0: no block, or one already stored

  ENCKE_INLINE_MEMBER int64_t element() const { return chunk + begin; }
};

// Shared memory of a warp.
struct FastDecodeMemory {
  FastTile tile;
  BlockPlace places[kTileBlocks];  // of the tile's rows
  uint32_t starts[kTileBlocks];    // bits, where blocks begin
};

// A block with escapes or codes above 255, from its codes to its elements in memory. False when it
// is broken; then nothing was stored.
template <typename T, typename Rule>
ENCKE_HOST_DEVICE ENCKE_NOINLINE bool DecodeExtended(LaneBitReader* reader, BlockPlace place,
                                                     RuleTables<Rule> tables,
                                                     DecodeTarget<T> target) {
  PlaneOps::Quantized codes = {};
  if (!simd::ReadExtended<PlaneOps>(*reader, &codes) || !reader->ok()) return false;
  const typename Rule::Table* table = tables.From(place.begin);
  T x[kBlockElements];
  for (int i = 0; i < kBlockElements; ++i) {
    uint32_t code = 0;
    for (int p = 0; p < kPlanes; ++p) {
      code |= static_cast<uint32_t>(codes.low.plane[p] >> i & 1) << p;
      if (codes.wide) code |= static_cast<uint32_t>(codes.high.plane[p] >> i & 1) << (p + 8);
    }
    Narrow(Rule::Dequantize(code, table[i]), x + i);
  }
  simd::ReadEscapes(codes.escapes, *reader, x);
  if (!reader->ok()) return false;
  for (uint32_t i = 0; i < place.count; ++i) {
    const int64_t element = place.element() + i;
    if (element >= target.first && element < target.end) target.data[element - target.first] = x[i];
  }
  return true;
}

// Moves the reader behind a block's codes without decoding them. False when they are broken.
ENCKE_HOST_DEVICE inline bool SkipRice(const simd::RicePlan& plan, LaneBitReader* reader) {
  if (plan.nibble == 0) return true;
  int count = kBlockElements;
  if (plan.sparse) count = Popcount(reader->Get(64));
  reader->Skip(static_cast<uint32_t>(count * plan.parameter));
  for (int level = 1 << plan.parameter; count != 0; level += 1 << plan.parameter) {
    const uint64_t reached = reader->Get(count) & (~uint64_t{0} >> (64 - count));
    count = Popcount(reached);
    if (count != 0 && level > 255) return false;
  }
  return reader->ok();
}

template <typename T>
ENCKE_HOST_DEVICE bool SkipBlock(int nibble, LaneBitReader* reader) {
  if (nibble != simd::kExtendedNibble) return SkipRice(simd::PlanOf(nibble), reader);
  const int head = static_cast<int>(reader->Get(6) & 63);
  if (head >> 2 == simd::kExtendedNibble) return false;
  const uint64_t escapes = (head & simd::kEscapeFlag) != 0 ? reader->Get(64) : 0;
  if ((head & simd::kWideFlag) != 0) reader->Skip(8 * 64);
  if (!SkipRice(simd::PlanOf(head >> 2), reader)) return false;
  reader->Skip(static_cast<uint32_t>(Popcount(escapes) * 8 * sizeof(T)));
  return reader->ok();
}

// Nibble of a block. REQUIRES: the stream has it.
ENCKE_INLINE int NibbleOf(const ByteStream& stream, uint32_t block) {
  return static_cast<int>(stream.Byte(kHeadBytes + block / 2) >> 4 * (block & 1) & 15);
}

template <typename Warp, typename T, typename Rule>
class FastDecoder {
 public:
  template <typename V>
  using PerLane = typename Warp::template PerLane<V>;

  ENCKE_WARP_CODE FastDecoder(Warp& warp, const RuleTables<Rule>& tables,
                              const DecodeTarget<T>& target, FastDecodeMemory* memory)
      : warp_(warp), tables_(tables), target_(target), memory_(memory) {}

  // Decodes one block of each lane that has one (memory()->places, set by its lane) and stores its
  // elements. Takes away the place, and the lane's `good`, where the block is broken.
  ENCKE_WARP_CODE void DecodeBlocks(const PerLane<int>& nibbles, PerLane<LaneBitReader>* readers,
                                    PerLane<bool>* good) {
    warp_.Each([&](int lane) {
      BlockPlace& place = memory_->places[lane];
      if (place.count == 0) return;
      const bool decoded = DecodeRow(lane, nibbles[lane], &(*readers)[lane]);
      if (decoded) return;
      (*good)[lane] = false;
      place.count = 0;
    });
    StoreTile();
  }

  // A FAST stream without marks. False when it is broken.
  ENCKE_WARP_CODE bool DecodeChunk(const ByteStream& stream, int64_t chunk, uint32_t elements) {
    const uint32_t blocks = BlocksOf(elements);
    if (BitsBegin(elements) > stream.size) return false;
    uint32_t position = BitsBegin(elements) * 8;
    PerLane<bool> good;
    warp_.Each([&](int lane) { good[lane] = true; });
    for (uint32_t first = 0; first < blocks; first += kTileBlocks) {
      const uint32_t count = Least(blocks - first, kTileBlocks);
      position = Walk(stream, first, count, position);
      if (position == kBroken) return false;
      PerLane<int> nibbles;
      PerLane<LaneBitReader> readers;
      warp_.Each([&](int lane) {
        const uint32_t block = first + lane, begin = block * kBlockElements;
        const bool any = static_cast<uint32_t>(lane) < count;
        memory_->places[lane] = {chunk, begin,
                                 any ? Least(elements - begin, uint32_t{kBlockElements}) : 0};
        nibbles[lane] = any ? NibbleOf(stream, block) : 0;
        readers[lane] = LaneBitReader(stream, any ? memory_->starts[lane] : 0);
      });
      DecodeBlocks(nibbles, &readers, &good);
    }
    const bool at_end = LaneBitReader(stream, position).AtEnd();
    return at_end && ~warp_.Ballot(good) == 0;
  }

  FastDecodeMemory* memory() const { return memory_; }

 private:
  static constexpr uint32_t kBroken = ~uint32_t{0};

  // Codes of a block to its row; what needs more than a row, to memory. False when it is broken.
  ENCKE_WARP_CODE bool DecodeRow(int lane, int nibble, LaneBitReader* reader) {
    BlockPlace& place = memory_->places[lane];
    if (nibble == simd::kExtendedNibble) {
      LaneBitReader copy = *reader;  // so that the other path's stays in registers
      const bool decoded = DecodeExtended<T, Rule>(&copy, place, tables_, target_);
      *reader = copy;
      place.count = 0;
      return decoded;
    }
    PlaneOps::Codes codes;
    if (!simd::ReadRice<PlaneOps>(simd::PlanOf(nibble), *reader, &codes) || !reader->ok()) {
      return false;
    }
    PlaneOps::StoreCodes(codes, memory_->tile.words[lane]);
    return true;
  }

  ENCKE_WARP_CODE void StoreTile() {
    const typename Rule::Table first = tables_.entries[0];
    warp_.Each([&](int lane) {
      ENCKE_UNROLL
      for (int step = 0; step < kTileQuads; ++step) {
        const uint32_t row = RowOf(step, lane), offset = QuadOf(lane) * kQuad;
        const BlockPlace place = memory_->places[row];
        if (offset >= place.count) continue;
        const uint32_t word = memory_->tile.words[row][QuadOf(lane)];
        const QuadTables<Rule> tables(tables_, first, place.begin + offset);
        Quad<T> quad;
        ENCKE_UNROLL
        for (int i = 0; i < kQuad; ++i) {
          Narrow(Rule::Dequantize(word >> 8 * i & 255, tables[i]), quad.x + i);
        }
        const int64_t end = Least(target_.end, place.element() + place.count);
        StoreQuad(quad, place.element() + offset - target_.first, end - target_.first,
                  target_.data);
      }
    });
  }

  // Finds where the blocks [first, first + count) begin, and returns where the last one ends.
  ENCKE_WARP_CODE uint32_t Walk(const ByteStream& stream, uint32_t first, uint32_t count,
                                uint32_t position) {
    PerLane<uint32_t> end;
    warp_.Each([&](int lane) {
      end[lane] = kBroken;
      if (lane != 0) return;
      LaneBitReader reader(stream, position);
      for (uint32_t i = 0; i < count; ++i) {
        memory_->starts[i] = reader.position();
        if (!SkipBlock<T>(NibbleOf(stream, first + i), &reader)) return;
      }
      end[lane] = reader.position();
    });
    return warp_.Broadcast(end, 0);
  }

  Warp& warp_;
  RuleTables<Rule> tables_;
  DecodeTarget<T> target_;
  FastDecodeMemory* memory_;
};

}  // namespace encke::cuda
