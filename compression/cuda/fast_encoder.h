// The FAST encoder for one warp, which has a part of a chunk's blocks and four octets: each codes
// every fourth block of that.
//
// A warp quantises a step's four blocks, finds how each is coded, and puts their bits behind those
// of the steps before, in a window in shared memory, since neighbours share words.
//
// What is usual is done quickly: codes of a byte each, and no escapes. A step where any element
// wants more is quantised again by the rule as it is written (element_rule.h).
#pragma once

#include "compression/cuda/fast_job.h"
#include "compression/cuda/fast_plan.h"

namespace encke::cuda {

// One warp's part of a chunk.
template <typename Warp, typename T, typename Rule>
class FastEncoder {
 public:
  using Job = FastEncodeJob<T, Rule>;

  ENCKE_WARP_CODE FastEncoder(Warp& warp, const Job& job, int part)
      : warp_(warp),
        job_(job),
        memory_(&job.memory->parts[part]),
        rounds_(warp, &job.memory->parts[part].rounds),
        begin_(job.FirstStep(part)),
        end_(job.FirstStep(part + 1)),
        aligned_(IsQuadAligned(job.data)),
        entry_step_(job.tables.IndexOf(kStepElements)) {
    warp_.Locally([&](int lane) {
      sums_[lane] = {};
      entries_[lane] = job_.tables.IndexOf(BeginOf(lane, begin_));
    });
  }

  ENCKE_WARP_CODE void Encode(const PartSink& sink) {
    rounds_.SetWindow(sink.window);
    position_ = sink.position;
    uint32_t mark = position_;
    PerLane<Elements> next;
    warp_.Locally([&](int lane) { next[lane] = Load(lane, begin_); });
    for (uint32_t step = begin_; step < end_; ++step) {
      warp_.Locally([&](int lane) {
        elements_[lane] = next[lane];
        if (step + 1 < end_) next[lane] = Load(lane, step + 1);
      });
      CodeBlocks(step, !Quantize(step));
      if (sink.nibbles != nullptr) WriteNibbles(step, sink.nibbles + 2 * (step - begin_));
      if ((step + 1) * kOctets % kSegmentBlocks != 0 && step + 1 < end_) continue;
      warp_.Locally([&](int lane) {
        if (lane != 0 || sink.marks == nullptr) return;
        sink.marks[(step - begin_) * kOctets / kSegmentBlocks] =
            static_cast<uint16_t>(position_ - mark);
      });
      mark = position_;
    }
    if (sink.totals) PutTotals(position_ - sink.position);
  }

 private:
  template <typename V>
  using PerLane = typename Warp::template PerLane<V>;
  using Memory = FastEncodeMemory<T>;

  static constexpr uint32_t kEscapeBits = 8 * sizeof(T);
  static constexpr uint32_t kStepElements = kOctets * kBlockElements;
  static_assert(kSegmentBlocks % kOctets == 0);

  // A lane's elements of a block.
  struct Elements {
    Quad<T> quads[2];
  };
  ENCKE_WARP_CODE static uint32_t BeginOf(int lane, uint32_t step) {
    return (step * kOctets + OctetOf(lane)) * kBlockElements;
  }
  // Whether the chunk has all elements of a step.
  ENCKE_WARP_CODE bool Full(uint32_t step) const {
    return (step + 1) * kStepElements <= job_.elements;
  }

  // What lies behind the chunk is +0.
  ENCKE_WARP_CODE Elements Load(int lane, uint32_t step) const {
    const uint32_t begin = BeginOf(lane, step) + WordBegin(lane, 0);
    constexpr uint32_t kNext = kBlockElements / 2;
    if (aligned_ && Full(step)) {
      const auto* quads = reinterpret_cast<const Quad<T>*>(job_.data + begin);
      return {{quads[0], quads[kNext / kQuad]}};
    }
    return {{LoadQuad(job_.data, begin, job_.elements),
             LoadQuad(job_.data, begin + kNext, job_.elements)}};
  }

  // The step's codes. True where all are below 256 and there are no escapes.
  ENCKE_WARP_CODE bool Quantize(uint32_t step) {
    bool usual = usual_ && Full(step);
    PerLane<uint32_t> counted;
    if (usual) {
      PerLane<bool> sure;
      warp_.Locally([&](int lane) { sure[lane] = QuantizeQuickly(lane, &counted[lane]); });
      usual = warp_.All(sure);
    }
    if (!usual) {
      PerLane<bool> small;
      warp_.Locally([&](int lane) {
        counted[lane] = QuantizeExactly(lane, step);
        small[lane] = !codes_[lane].high.any() && !codes_[lane].escapes.any();
      });
      usual_ = warp_.All(small);  // so the next step may be usual
    }
    warp_.Locally([&](int lane) {
      sums_[lane].nonzero += counted[lane];
      entries_[lane] += entry_step_;
      if (entries_[lane] >= job_.tables.period) entries_[lane] -= job_.tables.period;
      ENCKE_UNROLL
      for (int i = 0; i < 2 * kQuad; ++i) {
        const float x = Widen(elements_[lane].quads[i / kQuad].x[i % kQuad]);
        sums_[lane].squares += x * x;
      }
    });
    return usual;
  }

  // False where codes may be wrong. `counted`: how many elements EncodeStatistics::nonzero counts.
  ENCKE_WARP_CODE bool QuantizeQuickly(int lane, uint32_t* counted) {
    const typename Rule::Table* tables = job_.tables.entries + entries_[lane] + WordBegin(lane, 0);
    OctetBytes low;
    uint32_t any = 0;
    bool sure = true;
    *counted = 0;
    ENCKE_UNROLL
    for (int w = 0; w < 2; ++w) {
      uint32_t codes[kQuad];
      ENCKE_UNROLL
      for (int i = 0; i < kQuad; ++i) {
        const typename Rule::Table table = tables[w * (kBlockElements / 2) + i];
        const ElementCode element = Rule::QuickCode(elements_[lane].quads[w].x[i], table);
        codes[i] = element.code;
        any |= element.code;
        sure = sure && element.good;
        *counted += element.counted;
      }
      low.word[w] = PickBytes(PickBytes(codes[0], codes[1], 0x0040),
                              PickBytes(codes[2], codes[3], 0x0040), 0x5410);
    }
    codes_[lane] = {low, {}, {}};
    return sure && any < 256;
  }

  // What lies behind the chunk has code 0.
  ENCKE_WARP_CODE uint32_t QuantizeExactly(int lane, uint32_t step) {
    const typename Rule::Table* tables = job_.tables.entries + entries_[lane] + WordBegin(lane, 0);
    const uint32_t begin = BeginOf(lane, step);
    FastCodes codes = {};
    uint32_t nonzero = 0;
    ENCKE_UNROLL
    for (int w = 0; w < 2; ++w) {
      uint32_t counted = 0;
      ENCKE_UNROLL
      for (int i = 0; i < kQuad; ++i) {
        const T x = elements_[lane].quads[w].x[i];
        const ElementCode element = Rule::Quantize(x, tables[w * (kBlockElements / 2) + i]);
        codes.low.word[w] |= (element.code & 255) << 8 * i;
        codes.high.word[w] |= (element.code >> 8) << 8 * i;
        codes.escapes.word[w] |= static_cast<uint32_t>(!element.good) << 8 * i;
        counted |= static_cast<uint32_t>(element.counted) << 8 * i;
      }
      const uint32_t valid = ValidBytes(begin + WordBegin(lane, w));
      codes.low.word[w] &= valid * 255;
      codes.high.word[w] &= valid * 255;
      codes.escapes.word[w] &= valid;
      sums_[lane].escapes = DotBytes(codes.escapes.word[w], kByteOnes, sums_[lane].escapes);
      nonzero = DotBytes(counted & valid, kByteOnes, nonzero);
    }
    codes_[lane] = codes;
    return nonzero;
  }

  // 1 for each of four elements from `element` on that the chunk has.
  ENCKE_WARP_CODE uint32_t ValidBytes(uint32_t element) const {
    const uint32_t left = element < job_.elements ? job_.elements - element : 0;
    return left >= kQuad ? kByteOnes : kByteOnes & ((1u << 8 * left) - 1);
  }

  // Plans and writes the blocks whose codes the octets have. `extended`: some may be.
  ENCKE_WARP_CODE void CodeBlocks(uint32_t step, bool extended) {
    PerLane<OctetBytes> bytes;  // that the plan's inner nibble codes
    PlanBlocks(warp_, codes_, extended, kEscapeBits, &plans_, &bytes);
    PlaceBlocks();
    if (extended) WriteExtensions();
    PerLane<Open> open;
    warp_.Locally([&](int lane) { open[lane] = OpenBlock(plans_[lane].inner, bytes[lane]); });
    WriteBitmaps(open);
    WritePlanes(open);
    WriteLevels(&open);
    rounds_.Flush();
    if (extended) WriteEscapes(step);
  }

  // Two blocks' nibbles make a byte: to `bytes`, two of them.
  ENCKE_WARP_CODE void WriteNibbles(uint32_t step, uint8_t* bytes) {
    PerLane<int> nibbles, next;
    warp_.Locally([&](int lane) {
      nibbles[lane] = plans_[lane].nibble;
      next[lane] = lane + kOctetLanes;
    });
    const PerLane<int> upper = warp_.Shuffle(nibbles, next);
    warp_.Locally([&](int lane) {
      const uint32_t block = step * kOctets + OctetOf(lane);
      if (lane % (2 * kOctetLanes) != 0 || block >= BlocksOf(job_.elements)) return;
      bytes[OctetOf(lane) / 2] = static_cast<uint8_t>(nibbles[lane] | upper[lane] << 4);
    });
  }

  // Where the step's blocks begin: one behind the other, from position_ on.
  ENCKE_WARP_CODE void PlaceBlocks() {
    PerLane<uint32_t> upto;
    warp_.Locally([&](int lane) { upto[lane] = plans_[lane].bits; });
    ENCKE_UNROLL
    for (int distance = kOctetLanes; distance < kWarpLanes; distance *= 2) {
      PerLane<int> sources;
      warp_.Locally([&](int lane) { sources[lane] = lane - distance; });
      const PerLane<uint32_t> before = warp_.Shuffle(upto, sources);
      warp_.Locally([&](int lane) {
        if (lane >= distance) upto[lane] += before[lane];
      });
    }
    warp_.Locally(
        [&](int lane) { rounds_.place(lane) = position_ + upto[lane] - plans_[lane].bits; });
    position_ += warp_.Broadcast(upto, kWarpLanes - 1);
  }

  // What extended blocks begin with: flags, bitmap of escapes, planes of the low bytes.
  ENCKE_WARP_CODE void WriteExtensions() {
    PerLane<bool> escaped, wide;
    warp_.Locally([&](int lane) {
      const BlockPlan& plan = plans_[lane];
      escaped[lane] = plan.escaped;
      wide[lane] = plan.wide;
      if (plan.nibble != simd::kExtendedNibble) return;
      const int flags = (plan.escaped ? simd::kEscapeFlag : 0) | (plan.wide ? simd::kWideFlag : 0);
      if (LaneOfOctet(lane) == 0) {
        rounds_.PutBits(static_cast<uint32_t>(flags | plan.inner << 2), 0, rounds_.place(lane));
      }
      rounds_.place(lane) += 6;
    });
    if (warp_.Ballot(escaped) != 0) {
      rounds_.Add([&](int lane) {
        const OctetBytes& bits = codes_[lane].escapes;
        return PackAll(escaped[lane], GatherBits(bits.word[0]), GatherBits(bits.word[1]));
      });
    }
    if (warp_.Ballot(wide) == 0) return;
    for (int plane = 0; plane < 8; ++plane) {
      rounds_.Add([&](int lane) {
        const OctetBytes& low = codes_[lane].low;
        return PackAll(wide[lane], GatherBits(low.word[0] >> plane & kByteOnes),
                       GatherBits(low.word[1] >> plane & kByteOnes));
      });
    }
  }

  // What an octet writes of its block's bytes. Nibbles here have their bits 7 up, as GatherHighest
  // gives them.
  struct Open {
    uint32_t active[2];  // which of a word's codes are: a nibble
    OctetBytes rest;     // with the low planes
    OctetBytes levels;   // below 128, as plans are chosen
    int parameter;
    bool sparse;
  };
  static constexpr uint32_t kHighestBits = 0x80808080;
  static constexpr uint32_t kAllActive = 15 << 7;

  ENCKE_WARP_CODE static uint32_t GatherHighest(uint32_t bytes) {
    return GatherBits(bytes & kHighestBits);
  }

  ENCKE_WARP_CODE static Open OpenBlock(int nibble, const OctetBytes& bytes) {
    const simd::RicePlan plan = simd::PlanOf(nibble);
    const uint32_t active = nibble == 0 ? 0 : kAllActive;
    Open open = {{active, active}, bytes, {}, plan.parameter, plan.sparse};
    if (plan.sparse) {
      const OctetBytes nonzero = NonzeroOf(bytes);
      ENCKE_UNROLL
      for (int w = 0; w < 2; ++w) {
        open.rest.word[w] -= nonzero.word[w];
        open.active[w] = GatherBits(nonzero.word[w]) << 7;
      }
    }
    open.levels = Shifted(open.rest, plan.parameter);
    return open;
  }

  // Of sparse blocks.
  ENCKE_WARP_CODE void WriteBitmaps(const PerLane<Open>& open) {
    PerLane<bool> sparse;
    warp_.Locally([&](int lane) { sparse[lane] = open[lane].sparse; });
    if (warp_.Ballot(sparse) == 0) return;
    rounds_.Add([&](int lane) {
      const Open& block = open[lane];
      return PackAll(block.sparse, block.active[0] >> 7, block.active[1] >> 7);
    });
  }

  // A lane's part of a round: of either word's nibble of `bits` those of active codes.
  ENCKE_WARP_CODE uint32_t Pack(const uint32_t* active, const uint32_t* bits) const {
    uint32_t packed[2];
    ENCKE_UNROLL
    for (int w = 0; w < 2; ++w)
      packed[w] = job_.extracted->entries[(active[w] << 4 | bits[w]) >> 7];
    return packed[1] << 8 | packed[0];
  }

  ENCKE_WARP_CODE void WritePlanes(const PerLane<Open>& open) {
    PerLane<bool> some;
    for (int plane = 0;; ++plane) {
      warp_.Locally([&](int lane) { some[lane] = plane < open[lane].parameter; });
      if (warp_.Ballot(some) == 0) return;
      rounds_.Add([&](int lane) {
        const Open& block = open[lane];
        uint32_t bits[2], active[2];
        ENCKE_UNROLL
        for (int w = 0; w < 2; ++w) {
          bits[w] = GatherHighest(block.rest.word[w] << (7 - plane));
          active[w] = some[lane] ? block.active[w] : 0;
        }
        return Pack(active, bits);
      });
    }
  }

  ENCKE_WARP_CODE void WriteLevels(PerLane<Open>* open) {
    PerLane<bool> some;
    uint32_t threshold = 0x7f7f7f7f;  // makes those bytes 128 that reach the next level
    warp_.Locally(
        [&](int lane) { some[lane] = ((*open)[lane].active[0] | (*open)[lane].active[1]) != 0; });
    while (warp_.Ballot(some) != 0) {
      rounds_.Add([&](int lane) {
        Open& block = (*open)[lane];
        uint32_t bits[2];
        ENCKE_UNROLL
        for (int w = 0; w < 2; ++w) bits[w] = GatherHighest(block.levels.word[w] + threshold);
        const uint32_t packed = Pack(block.active, bits);
        block.active[0] = bits[0];
        block.active[1] = bits[1];
        some[lane] = (bits[0] | bits[1]) != 0;
        return packed;
      });
      threshold -= kByteOnes;
    }
  }

  // The escapes' elements, behind everything else.
  ENCKE_WARP_CODE void WriteEscapes(uint32_t step) {
    PerLane<uint32_t> counts;
    warp_.Locally([&](int lane) { counts[lane] = CountsOf(codes_[lane].escapes); });
    const PerLane<OctetOffsets> offsets = FindOffsets(warp_, counts);
    warp_.Locally([&](int lane) {
      const Elements elements = Load(lane, step);  // not kept until here
      ENCKE_UNROLL
      for (int w = 0; w < 2; ++w) {
        uint32_t position = rounds_.place(lane) + offsets[lane].of(w) * kEscapeBits;
        ENCKE_UNROLL
        for (int i = 0; i < kQuad; ++i) {
          if ((codes_[lane].escapes.word[w] >> 8 * i & 1) == 0) continue;
          rounds_.PutBits(BitsOf(elements.quads[w].x[i]), 0, position);
          position += kEscapeBits;
        }
      }
    });
  }

  ENCKE_WARP_CODE void PutTotals(uint32_t bits) {
    PerLane<uint32_t> nonzero, escapes;
    PerLane<float> squares;
    warp_.Locally([&](int lane) {
      nonzero[lane] = sums_[lane].nonzero;
      escapes[lane] = sums_[lane].escapes;
      squares[lane] = sums_[lane].squares;
    });
    const ChunkStatistics statistics = {warp_.Sum(nonzero), warp_.Sum(escapes), warp_.Sum(squares)};
    warp_.Each([&](int lane) {
      if (lane != 0) return;
      memory_->bits = bits;
      memory_->statistics = statistics;
    });
  }

  Warp& warp_;
  Job job_;
  typename Memory::Part* memory_;
  RoundWriter<Warp> rounds_;
  uint32_t begin_, end_;  // steps
  bool aligned_;
  uint32_t entry_step_;    // from one step's entry of the rule's tables to the next one's
  uint32_t position_ = 0;  // bit of the window's stream
  bool usual_ = true;
  PerLane<LaneSums> sums_;
  PerLane<uint32_t> entries_;
  // Of the step.
  PerLane<Elements> elements_;
  PerLane<FastCodes> codes_;
  PerLane<BlockPlan> plans_;
};

}  // namespace encke::cuda
