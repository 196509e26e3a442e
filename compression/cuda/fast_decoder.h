// The FAST decoder for one warp: four octets, each of which decodes blocks of 64 elements, one
// after another. A lane has eight of a block's elements, which it also stores.
//
// Where a block begins is known only after the blocks before it. So an octet decodes a segment of
// blocks whose beginning follows from the marks kept beside the stream (fast_stream.h). Streams
// without marks, as the CPU writes them, are decoded by one octet alone.
#pragma once

#include "compression/cuda/fast_stream.h"

namespace encke::cuda {

// Where decoded elements go: those of [first, end) of a value, of which data[0] is `first`.
template <typename T>
struct DecodeTarget {
  T* data;
  int64_t first;
  int64_t end;
};

// Words of its stream that an octet keeps in shared memory; with as many left it reads more.
constexpr uint32_t kStagedWords = 64, kLeastStaged = 24;

// Shared memory of a warp. Octets' words of one number lie in different banks.
struct FastDecodeMemory {
  alignas(16) uint32_t staged[kOctets][kStagedWords + 8];
};
static_assert(kStagedWords % 4 == 0);

// Blocks of a chunk for an octet, the same in all of its lanes.
struct BlockRun {
  static constexpr uint32_t kUnknown = ~uint32_t{0};

  ByteStream stream;
  int64_t chunk;              // first element in the value
  uint32_t elements;          // of the chunk
  uint32_t block, end_block;  // none where these are the same
  uint32_t position, end;     // bits of the stream: of the next block, and where the last one ends
  uint32_t index;             // of the chunk

  ENCKE_INLINE_MEMBER bool done() const { return block >= end_block; }
  ENCKE_INLINE_MEMBER bool inside() const { return position <= stream.size * 8; }
  ENCKE_INLINE_MEMBER bool EndsWell() const {
    const bool last = end_block == BlocksOf(elements);
    return (end == kUnknown || position == end) && inside() &&
           (!last || stream.size * 8 - position < 8);
  }
};

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
                              const NibbleTable& deposited, const DecodeTarget<T>& target,
                              FastDecodeMemory* memory)
      : warp_(warp), tables_(tables), deposited_(deposited), target_(target), memory_(memory) {}

  // Decodes each octet's run. False in the lanes of those that are broken.
  ENCKE_WARP_CODE PerLane<bool> Decode(const PerLane<BlockRun>& runs) {
    PerLane<bool> more;
    warp_.Locally([&](int lane) {
      runs_[lane] = runs[lane];
      good_[lane] = true;
      words_[lane] = SharedWords(memory_->staged[OctetOf(lane)]);
      first_[lane] = staged_[lane] = 0;
      table_[lane] = tables_.IndexOf(runs_[lane].block * kBlockElements);
      more[lane] = !runs_[lane].done();
    });
    const uint32_t step = tables_.IndexOf(kBlockElements);
    while (warp_.Ballot(more) != 0) {
      Stage();
      DecodeBlocks();
      warp_.Locally([&](int lane) {
        BlockRun& run = runs_[lane];
        if (!good_[lane]) run.end_block = 0;
        ++run.block;
        table_[lane] += step;
        if (table_[lane] >= tables_.period) table_[lane] -= tables_.period;
        more[lane] = !run.done();
      });
    }
    warp_.Locally([&](int lane) {
      good_[lane] = good_[lane] && (runs[lane].done() || runs_[lane].EndsWell());
    });
    return good_;
  }

  // A FAST stream without marks. False when it is broken.
  ENCKE_WARP_CODE bool DecodeChunk(const ByteStream& stream, int64_t chunk, uint32_t elements) {
    if (BitsBegin(elements) > stream.size) return false;
    PerLane<BlockRun> runs;
    warp_.Locally([&](int lane) {
      runs[lane] = {stream,
                    chunk,
                    elements,
                    0,
                    OctetOf(lane) == 0 ? BlocksOf(elements) : 0,
                    BitsBegin(elements) * 8,
                    BlockRun::kUnknown,
                    0};
    });
    return ~warp_.Ballot(Decode(runs)) == 0;
  }

 private:
  static constexpr uint32_t kEscapeBits = 8 * sizeof(T);
  static constexpr int kMostRounds = 256;  // of any parameter, planes included

  // A block while it is decoded: the lane's part, and what is the same in all of the octet's.
  struct Block {
    OctetBytes rice;     // the bytes that are Rice-coded
    OctetBytes low;      // of wide codes
    OctetBytes nonzero;  // 1 where a sparse block's codes are not 0
    OctetBytes escapes;  // 1 where the element is an escape
    uint32_t active[2];  // of each word's codes, a bit each
    uint32_t counts;     // of active ones, of the second word 16 bits up
    int parameter;
    int last;  // round that had a bit set
    bool wide, escaped;
  };

  // Brings each octet the words of its stream from its position on, where too few are left.
  ENCKE_WARP_CODE void Stage() {
    PerLane<bool> wanted;
    warp_.Locally([&](int lane) {
      const BlockRun& run = runs_[lane];
      const uint32_t end = first_[lane] + staged_[lane], last = Least(run.end, run.stream.size * 8);
      wanted[lane] = !run.done() && run.position < last && end < last &&
                     run.position + kLeastStaged * 32 > end;
    });
    if (warp_.Ballot(wanted) == 0) return;
    warp_.Each([&](int lane) {
      if (!wanted[lane]) return;
      const BlockRun& run = runs_[lane];
      const uint32_t last = (Least(run.end, run.stream.size * 8) + 31) / 32;
      const uint32_t first = run.position / 32 / 4 * 4;
      const uint32_t count = Least((last - first + 3) / 4 * 4, kStagedWords);
      uint32_t* to = memory_->staged[OctetOf(lane)];
      for (uint32_t i = 4 * LaneOfOctet(lane); i < count; i += 4 * kOctetLanes) {
        *reinterpret_cast<Quad<uint32_t>*>(to + i) =
            *reinterpret_cast<const Quad<uint32_t>*>(run.stream.words + first + i);
      }
      // Three words are loaded at a time. At the stream's end two that are not there do no harm.
      first_[lane] = first * 32;
      staged_[lane] = 32 * (first + count >= last ? count : count - 2);
    });
  }

  // 64 bits of the octet's stream from bit `at` on, with anything behind its end.
  ENCKE_WARP_CODE uint64_t Peek(int lane, uint32_t at) const {
    const uint32_t bit = at - first_[lane];
    uint32_t words[3];
    if (bit < staged_[lane]) {
      words_[lane].Load3(bit, words);
    } else {
      ENCKE_UNROLL
      for (uint32_t k = 0; k < 3; ++k) words[k] = runs_[lane].stream.Word(at / 32 + k);
    }
    const uint32_t low = FunnelRight(words[0], words[1], at);
    const uint32_t high = FunnelRight(words[1], words[2], at);
    return static_cast<uint64_t>(high) << 32 | low;
  }

  // Those of 64 bits, one for each element, that are the lane's.
  ENCKE_WARP_CODE static OctetBytes OwnBits(int lane, uint64_t bits) {
    return {{SpreadBits(static_cast<uint32_t>(bits) >> WordBegin(lane, 0)),
             SpreadBits(static_cast<uint32_t>(bits >> 32) >> WordBegin(lane, 0))}};
  }

  // One block of each octet that has one more.
  ENCKE_WARP_CODE void DecodeBlocks() {
    PerLane<Block> blocks;
    PerLane<bool> some;
    warp_.Locally([&](int lane) {
      blocks[lane] = {};
      if (!runs_[lane].done()) OpenBlock(lane, &blocks[lane]);
      some[lane] = blocks[lane].counts != 0;
    });
    // A Rice code has no more levels; neither has a broken one.
    for (int round = 0; round <= kMostRounds && warp_.Ballot(some) != 0; ++round) {
      PerLane<uint32_t> counts;
      warp_.Locally([&](int lane) { counts[lane] = blocks[lane].counts; });
      const PerLane<OctetOffsets> offsets = FindOffsets(warp_, counts);
      warp_.Locally([&](int lane) {
        ReadRound(lane, round, offsets[lane], &blocks[lane]);
        some[lane] = blocks[lane].counts != 0;
      });
    }
    FinishBlocks(blocks);
  }

  // What lies before a block's planes.
  ENCKE_WARP_CODE void OpenBlock(int lane, Block* block) {
    BlockRun& run = runs_[lane];
    int nibble = NibbleOf(run.stream, run.block);
    if (nibble == simd::kExtendedNibble) nibble = OpenExtended(lane, block);
    if (nibble == 0) return;
    const simd::RicePlan plan = simd::PlanOf(nibble);
    block->parameter = plan.parameter;
    block->active[0] = block->active[1] = 15;
    if (plan.sparse) {
      const uint64_t bits = Peek(lane, run.position);
      run.position += 64;
      for (int w = 0; w < 2; ++w) {
        block->active[w] = static_cast<uint32_t>(bits >> WordBegin(lane, w)) & 15;
      }
      block->nonzero = OwnBits(lane, bits);
    }
    block->counts =
        static_cast<uint32_t>(Popcount(block->active[0]) | Popcount(block->active[1]) << 16);
  }

  // Returns the inner nibble.
  ENCKE_WARP_CODE int OpenExtended(int lane, Block* block) {
    BlockRun& run = runs_[lane];
    const int head = static_cast<int>(Peek(lane, run.position) & 63);
    run.position += 6;
    if (head >> 2 == simd::kExtendedNibble) {
      good_[lane] = false;
      return 0;
    }
    block->escaped = (head & simd::kEscapeFlag) != 0;
    if (block->escaped) {
      block->escapes = OwnBits(lane, Peek(lane, run.position));
      run.position += 64;
    }
    block->wide = (head & simd::kWideFlag) != 0;
    if (block->wide) {
      for (int plane = 0; plane < 8; ++plane) {
        const OctetBytes bits = OwnBits(lane, Peek(lane, run.position));
        for (int w = 0; w < 2; ++w) block->low.word[w] |= bits.word[w] << plane;
        run.position += 64;
      }
    }
    return head >> 2;
  }

  // A plane, or a level: one bit for each active code.
  ENCKE_WARP_CODE void ReadRound(int lane, int round, const OctetOffsets& offsets, Block* block) {
    const uint64_t bits = Peek(lane, runs_[lane].position);
    runs_[lane].position += offsets.total();
    const auto low = static_cast<uint32_t>(bits), high = static_cast<uint32_t>(bits >> 32);
    const uint32_t first =
        deposited_.At(block->active[0], FunnelRight(low, high, offsets.before) & 15);
    const uint32_t second =
        deposited_.At(block->active[1], static_cast<uint32_t>(bits >> offsets.second()) & 15);
    const uint32_t unit = 1u << Least(round, block->parameter);
    block->rice.word[0] += SpreadBits(first) * unit;
    block->rice.word[1] += SpreadBits(second) * unit;
    if (((first | second) & 15) != 0) block->last = round;
    if (round < block->parameter) return;
    block->active[0] = first & 15;
    block->active[1] = second & 15;
    block->counts = first >> 4 | second >> 4 << 16;
  }

  // Whether no code of the block was above 255. Those that are have spoilt their neighbours.
  ENCKE_WARP_CODE static bool FitsBytes(const Block& block) {
    const int levels = block.last - block.parameter + 1;
    return levels <= 0 || levels << block.parameter <= 255;
  }

  // What lies behind the levels, and then all elements to memory.
  ENCKE_WARP_CODE void FinishBlocks(const PerLane<Block>& blocks) {
    PerLane<bool> extended, bad;
    warp_.Locally([&](int lane) {
      extended[lane] = blocks[lane].escaped || blocks[lane].wide;
      bad[lane] = !good_[lane] || !FitsBytes(blocks[lane]);
    });
    const uint32_t all_bad = warp_.Ballot(bad);
    const bool any_extended = warp_.Ballot(extended) != 0;
    if (all_bad != 0) {
      warp_.Locally([&](int lane) {
        if ((all_bad >> OctetOf(lane) * kOctetLanes & 255) != 0) good_[lane] = false;
      });
    }
    if (!any_extended) {
      warp_.Locally([&](int lane) {
        if (Usable(lane)) StoreElements<false>(lane, blocks[lane]);
      });
      return;
    }
    PerLane<uint32_t> counts;
    warp_.Locally([&](int lane) { counts[lane] = CountsOf(blocks[lane].escapes); });
    const PerLane<OctetOffsets> offsets = FindOffsets(warp_, counts);
    warp_.Locally([&](int lane) {
      const uint32_t begin = runs_[lane].position;
      runs_[lane].position += offsets[lane].total() * kEscapeBits;
      if (!Usable(lane)) return;
      StoreElements<true>(lane, blocks[lane]);
      if (blocks[lane].escapes.any()) {
        StoreEscapes(lane, blocks[lane].escapes, begin, offsets[lane]);
      }
    });
  }

  // Whether the octet's block may be stored.
  ENCKE_WARP_CODE bool Usable(int lane) {
    if (!runs_[lane].inside()) good_[lane] = false;
    return good_[lane] && !runs_[lane].done();
  }

  ENCKE_WARP_CODE int64_t ElementOf(int lane, int word) const {
    return runs_[lane].chunk + runs_[lane].block * kBlockElements + WordBegin(lane, word);
  }

  // kWide: whether some of the warp's blocks may have codes above 255.
  template <bool kWide>
  ENCKE_WARP_CODE void StoreElements(int lane, const Block& block) {
    const BlockRun& run = runs_[lane];
    const int64_t end = Least(target_.end, run.chunk + run.elements) - target_.first;
    ENCKE_UNROLL
    for (int w = 0; w < 2; ++w) {
      const auto* tables = tables_.decode() + table_[lane] + WordBegin(lane, w);
      const uint32_t codes = AddBytes(block.rice.word[w], block.nonzero.word[w]);
      const ByteCodes<Rule> bytes(codes);
      Quad<T> quad;
      ENCKE_UNROLL
      for (int i = 0; i < kQuad; ++i) {
        if (kWide && block.wide) {
          const uint32_t code = (codes >> 8 * i & 255) << 8 | (block.low.word[w] >> 8 * i & 255);
          Narrow(Dequantize<Rule>(code, tables[i]), quad.x + i);
        } else {
          Narrow(Rule::ValueOf(bytes[i], tables[i]), quad.x + i);
        }
      }
      StoreQuad(quad, ElementOf(lane, w) - target_.first, end, target_.data);
    }
  }

  ENCKE_WARP_CODE void StoreEscapes(int lane, const OctetBytes& escapes, uint32_t position,
                                    const OctetOffsets& offsets) {
    const BlockRun& run = runs_[lane];
    const int64_t end = Least(target_.end, run.chunk + run.elements);
    for (int w = 0; w < 2; ++w) {
      uint32_t at = position + offsets.of(w) * kEscapeBits;
      for (int i = 0; i < kQuad; ++i) {
        if ((escapes.word[w] >> 8 * i & 1) == 0) continue;
        const int64_t element = ElementOf(lane, w) + i;
        if (element >= target_.first && element < end) {
          T x;
          SetBits(static_cast<uint32_t>(Peek(lane, at)), &x);
          target_.data[element - target_.first] = x;
        }
        at += kEscapeBits;
      }
    }
  }

  Warp& warp_;
  RuleTables<Rule> tables_;
  const NibbleTable& deposited_;
  DecodeTarget<T> target_;
  FastDecodeMemory* memory_;
  PerLane<BlockRun> runs_;
  PerLane<bool> good_;
  PerLane<SharedWords> words_;        // of the stream, in shared memory
  PerLane<uint32_t> first_, staged_;  // the first one's first bit, and how many bits can be read
  PerLane<uint32_t> table_;           // of the block's first element
};

}  // namespace encke::cuda
