// The FAST encoder for one chunk and four warps, each of which has a quarter of the chunk's blocks
// and four octets: each codes every fourth block of that.
//
// One pass: a warp quantises a step's four blocks, finds how each is coded, and puts their bits
// behind those of the steps before, in a window of its own in shared memory, since neighbours share
// words. When all have, the chunk's size is known, it gets its place, and the windows are moved
// there. Where one was too small, all is done once more, window by window of the stream itself.
//
// What is usual is done quickly: codes of a byte each, and no escapes. A step where any element
// wants more is quantised again by the rule as it is written (element_rule.h).
#pragma once

#include "compression/cuda/fast_stream.h"
#include "compression/cuda/lane_bits.h"

namespace encke::cuda {

// How a block is coded.
struct BlockPlan {
  uint32_t bits;  // of the stream
  int nibble;
  int inner;  // as nibble, of extended blocks what codes their bytes
  bool wide, escaped;
};

// Shared memory of a chunk's warps.
template <typename T>
struct FastEncodeMemory {
  static constexpr uint32_t kSteps = (16 << 10) / sizeof(T) / kBlockElements / kOctets / kCrewWarps;
  static constexpr uint32_t kWindowWords = 512;  // of a part

  struct Part {
    // Of eight rounds, each lane's two packed nibbles (NibbleTable). A row more than is needed, so
    // that octets write to different banks.
    alignas(16) uint16_t rounds[kOctets][kOctetLanes + 1][kOctetLanes];
    uint8_t nibbles[2 * kSteps];  // as in the stream
    uint16_t marks[kSteps];
    uint32_t bits;  // of the part's blocks
    ChunkStatistics statistics;
  };

  Part parts[kCrewWarps];
  alignas(16) uint32_t windows[kCrewWarps * kWindowWords];
  uint8_t* out;
  bool skipped;
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

// A chunk as its warps encode it.
template <typename T, typename Rule>
struct FastEncodeJob {
  using Memory = FastEncodeMemory<T>;

  const T* data;      // the chunk's elements
  uint32_t elements;  // at most 2^26
  RuleTables<Rule> tables;
  const NibbleTable* extracted;
  Memory* memory;

  // All of a warp's octets take a block each in a step. Parts begin with segments.
  ENCKE_INLINE_MEMBER uint32_t steps() const { return CeilDivide(BlocksOf(elements), kOctets); }
  ENCKE_INLINE_MEMBER uint32_t StepsOfPart() const {
    constexpr uint32_t kSegmentSteps = kSegmentBlocks / kOctets;
    return CeilDivide(steps(), kCrewWarps * kSegmentSteps) * kSegmentSteps;
  }
  ENCKE_INLINE_MEMBER uint32_t FirstStep(int part) const {
    return Least(steps(), part * StepsOfPart());
  }

  // After all parts were encoded: where one begins, in bits of the stream.
  ENCKE_WARP_CODE uint32_t PartBegin(int part) const {
    uint32_t position = BitsBegin(elements) * 8;
    for (int before = 0; before < part; ++before) position += memory->parts[before].bits;
    return position;
  }
  // Likewise, the stream's length in bytes.
  ENCKE_WARP_CODE uint32_t CodedSize() const { return CeilDivide(PartBegin(kCrewWarps), 8); }
  ENCKE_WARP_CODE uint32_t CopiedSize() const {
    return kHeadBytes + elements * static_cast<uint32_t>(sizeof(T));
  }
  ENCKE_WARP_CODE bool Copied() const { return CodedSize() >= CopiedSize(); }

  // Whether a part may have nibbles and marks in shared memory, and whether each one's bits lie in
  // its window.
  ENCKE_WARP_CODE bool Kept() const { return StepsOfPart() <= Memory::kSteps; }
  ENCKE_WARP_CODE bool AllInWindows() const {
    bool all = Kept();
    for (const auto& part : memory->parts) all = all && part.bits <= 32 * Memory::kWindowWords;
    return all;
  }

  // Likewise; `squares` may not be finite.
  ENCKE_WARP_CODE ChunkStatistics Statistics() const {
    ChunkStatistics sum = {};
    for (const auto& part : memory->parts) {
      sum.nonzero += part.statistics.nonzero;
      sum.escapes += part.statistics.escapes;
      sum.squares += part.statistics.squares;
    }
    if (Copied()) sum.escapes = elements;
    return sum;
  }
};

// Where a part's bits, from bit `position` of the window's stream on, nibbles and marks go. Null:
// these are left out.
struct PartSink {
  BitWindow window;
  uint32_t position;
  uint8_t* nibbles;
  uint16_t* marks;
  bool totals;  // whether length and sums are wanted, to shared memory
};

// One warp's part of a chunk.
template <typename Warp, typename T, typename Rule>
class FastEncoder {
 public:
  using Job = FastEncodeJob<T, Rule>;

  ENCKE_WARP_CODE FastEncoder(Warp& warp, const Job& job, int part)
      : warp_(warp),
        job_(job),
        memory_(&job.memory->parts[part]),
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
    window_ = sink.window;
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

  // A lane's elements of a block, and their codes.
  struct Elements {
    Quad<T> quads[2];
  };
  struct Codes {
    OctetBytes low, high;
    OctetBytes escapes;  // 1 where the element is an escape
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
    Codes codes = {};
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
    Plan(extended, &bytes);
    PlaceBlocks();
    if (extended) WriteExtensions();
    PerLane<Open> open;
    warp_.Locally([&](int lane) { open[lane] = OpenBlock(plans_[lane].inner, bytes[lane]); });
    WriteBitmaps(open);
    WritePlanes(open);
    WriteLevels(&open);
    if (rounds_ > 0) WriteRounds();
    if (extended) WriteEscapes(step);
  }

  ENCKE_WARP_CODE void Plan(bool extended, PerLane<OctetBytes>* bytes) {
    PerLane<uint32_t> bits;
    warp_.Locally([&](int lane) {
      bits[lane] = OrOfBytes(codes_[lane].low);
      if (extended) bits[lane] |= OrOfBytes(codes_[lane].high) << 8;
    });
    const PerLane<uint32_t> all = warp_.template OrOfGroup<kOctetLanes>(bits);
    PerLane<uint32_t> sums, shifted;
    warp_.Locally([&](int lane) {
      const Codes& codes = codes_[lane];
      const OctetBytes inner = extended && all[lane] > 255 ? codes.high : codes.low;
      (*bytes)[lane] = inner;
      sums[lane] = SumOfBytes(inner) | SumOfBytes(NonzeroOf(inner)) << 15;
      if (extended) sums[lane] |= SumOfBytes(codes.escapes) << 22;
    });
    const PerLane<uint32_t> total = warp_.template SumOfGroup<kOctetLanes>(sums);
    PerLane<simd::RicePlan> plain, sparse;
    warp_.Locally([&](int lane) {
      const uint32_t any = extended && all[lane] > 255 ? all[lane] >> 8 : all[lane];
      FindCandidates(total[lane] & 0x7fff, total[lane] >> 15 & 127, any, &plain[lane],
                     &sparse[lane]);
      shifted[lane] = SumShifted((*bytes)[lane], plain[lane].parameter) |
                      SumShifted(LessOne((*bytes)[lane]), sparse[lane].parameter) << 16;
    });
    const PerLane<uint32_t> unary = warp_.template SumOfGroup<kOctetLanes>(shifted);
    warp_.Locally([&](int lane) {
      const uint32_t count = total[lane] >> 15 & 127;
      int inner = plain[lane].nibble;
      uint32_t rice = inner == 0 ? 0 : 64 * (plain[lane].parameter + 1) + (unary[lane] & 0xffff);
      const uint32_t with = 64 + count * (sparse[lane].parameter + 1) + (unary[lane] >> 16);
      if (sparse[lane].nibble != 0 && with < rice) {
        inner = sparse[lane].nibble;
        rice = with;
      }
      plans_[lane] = {rice, inner, inner, false, false};
      if (extended) Extend(all[lane] > 255, total[lane] >> 22, &plans_[lane]);
    });
  }

  ENCKE_WARP_CODE static void Extend(bool wide, uint32_t escapes, BlockPlan* plan) {
    plan->wide = wide;
    plan->escaped = escapes > 0;
    if (!plan->wide && !plan->escaped) return;
    plan->nibble = simd::kExtendedNibble;
    plan->bits += 6 + (wide ? 8 * 64 : 0) + (plan->escaped ? 64 + escapes * kEscapeBits : 0);
  }

  // As simd::ChoosePlan does, whose last choice is left to the caller. `sum`, `count`: of the codes
  // and of those that are not 0; `any`: their bits.
  ENCKE_WARP_CODE static void FindCandidates(uint32_t sum, uint32_t count, uint32_t any,
                                             simd::RicePlan* plain, simd::RicePlan* sparse) {
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

  ENCKE_WARP_CODE static uint32_t OrOfBytes(const OctetBytes& bytes) {
    const uint32_t half = bytes.word[0] | bytes.word[1], quarter = half | half >> 16;
    return (quarter | quarter >> 8) & 255;
  }
  ENCKE_WARP_CODE static uint32_t SumOfBytes(const OctetBytes& bytes) {
    return DotBytes(bytes.word[0], kByteOnes, DotBytes(bytes.word[1], kByteOnes));
  }
  ENCKE_WARP_CODE static OctetBytes Shifted(const OctetBytes& bytes, int count) {
    return {{ShiftBytesRight(bytes.word[0], count), ShiftBytesRight(bytes.word[1], count)}};
  }
  ENCKE_WARP_CODE static uint32_t SumShifted(const OctetBytes& bytes, int count) {
    return SumOfBytes(Shifted(bytes, count));
  }
  ENCKE_WARP_CODE static OctetBytes NonzeroOf(const OctetBytes& bytes) {
    return {{NonzeroBytes(bytes.word[0]), NonzeroBytes(bytes.word[1])}};
  }
  // Zero stays zero.
  ENCKE_WARP_CODE static OctetBytes LessOne(const OctetBytes& bytes) {
    const OctetBytes ones = NonzeroOf(bytes);
    return {{bytes.word[0] - ones.word[0], bytes.word[1] - ones.word[1]}};
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
    warp_.Locally([&](int lane) { places_[lane] = position_ + upto[lane] - plans_[lane].bits; });
    position_ += warp_.Broadcast(upto, kWarpLanes - 1);
  }

  // A round's bits of a lane, of which all eight codes or none take part.
  ENCKE_WARP_CODE static uint32_t PackAll(bool some, uint32_t first, uint32_t second) {
    return some ? 0x4040 | second << 8 | first : 0;
  }

  // pack(lane): its two packed nibbles of the next round.
  template <typename Pack>
  ENCKE_WARP_CODE void AddRound(const Pack& pack) {
    warp_.Locally([&](int lane) {
      memory_->rounds[OctetOf(lane)][rounds_][LaneOfOctet(lane)] =
          static_cast<uint16_t>(pack(lane));
    });
    if (++rounds_ == kOctetLanes) WriteRounds();
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
        PutBits(static_cast<uint32_t>(flags | plan.inner << 2), 0, places_[lane]);
      }
      places_[lane] += 6;
    });
    if (warp_.Ballot(escaped) != 0) {
      AddRound([&](int lane) {
        const OctetBytes& bits = codes_[lane].escapes;
        return PackAll(escaped[lane], GatherBits(bits.word[0]), GatherBits(bits.word[1]));
      });
    }
    if (warp_.Ballot(wide) == 0) return;
    for (int plane = 0; plane < 8; ++plane) {
      AddRound([&](int lane) {
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
    AddRound([&](int lane) {
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
      AddRound([&](int lane) {
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
      AddRound([&](int lane) {
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

  // The rounds that lie in shared memory, no more than eight: each lane puts one together.
  ENCKE_WARP_CODE void WriteRounds() {
    PerLane<uint32_t> low, high, counts;
    warp_.Each([&](int lane) {
      low[lane] = high[lane] = counts[lane] = 0;
      if (LaneOfOctet(lane) >= rounds_) return;
      const auto* row = memory_->rounds[OctetOf(lane)][LaneOfOctet(lane)];
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

  // What of it lies in the window. REQUIRES: that has been 0.
  ENCKE_WARP_CODE void PutBits(uint32_t low, uint32_t high, uint32_t position) const {
    const uint32_t word = position / 32 - window_.first;
    OrWord(word, FunnelLeft(0, low, position));
    OrWord(word + 1, FunnelLeft(low, high, position));
    OrWord(word + 2, FunnelLeft(high, 0, position));
  }
  // `word` of the window; modulo 2^32 where it lies before that.
  ENCKE_WARP_CODE void OrWord(uint32_t word, uint32_t bits) const {
    if (bits != 0 && word < window_.count) AtomicOr(&window_.words[word], bits);
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
        uint32_t position = places_[lane] + offsets[lane].of(w) * kEscapeBits;
        ENCKE_UNROLL
        for (int i = 0; i < kQuad; ++i) {
          if ((codes_[lane].escapes.word[w] >> 8 * i & 1) == 0) continue;
          PutBits(BitsOf(elements.quads[w].x[i]), 0, position);
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
  uint32_t begin_, end_;  // steps
  bool aligned_;
  uint32_t entry_step_;  // from one step's entry of the rule's tables to the next one's
  BitWindow window_ = {};
  uint32_t position_ = 0;  // bit of the window's stream
  bool usual_ = true;
  int rounds_ = 0;  // in shared memory
  PerLane<LaneSums> sums_;
  PerLane<uint32_t> entries_;
  // Of the step.
  PerLane<Elements> elements_;
  PerLane<Codes> codes_;
  PerLane<BlockPlan> plans_;
  PerLane<uint32_t> places_;  // where what follows of the octet's block goes
};

// 32 bits from bit 32 * `word` on of the parts' bits one behind the other, the first one's at bit
// `begin`.
template <typename Memory>
ENCKE_WARP_CODE uint32_t JoinedWord(const Memory& memory, uint32_t begin, uint32_t word) {
  uint32_t joined = 0;
  const uint32_t* window = memory.windows;
  for (const auto& part : memory.parts) {
    const int32_t from = static_cast<int32_t>(32 * word - begin);  // bit of the part
    const int32_t index = from >> 5, end = static_cast<int32_t>(part.bits);
    if (from > -32 && from < end) {
      const uint32_t low = index >= 0 ? window[index] : 0;
      const uint32_t high = 32 * (index + 1) < end ? window[index + 1] : 0;
      joined |= FunnelRight(low, high, static_cast<uint32_t>(from));
    }
    begin += part.bits;
    window += Memory::kWindowWords;
  }
  return joined;
}

// A warp's share of it.
template <typename Memory, typename Warp>
ENCKE_WARP_CODE void ClearWindows(Warp& warp, int part, Memory* memory) {
  auto* quads = reinterpret_cast<Quad<uint32_t>*>(memory->windows);
  constexpr uint32_t kQuads = Memory::kWindowWords / kQuad;
  warp.Each([&](int lane) {
    for (uint32_t i = lane; i < kQuads; i += kWarpLanes) quads[part * kQuads + i] = {};
  });
}

// What lies in the windows of all parts, to the stream.
template <typename Crew, typename T, typename Rule>
ENCKE_WARP_CODE void WriteParts(Crew& crew, const FastEncodeJob<T, Rule>& job, const ByteSink& sink,
                                uint16_t* marks) {
  using Warp = typename Crew::Warp;
  const auto& memory = *job.memory;
  auto* out = reinterpret_cast<uint8_t*>(sink.words);
  crew.EachWarp([&](Warp& warp, int part) {
    const uint32_t first = job.FirstStep(part), steps = job.FirstStep(part + 1) - first;
    const uint32_t nibbles = Least(2 * steps, BitsBegin(job.elements) - kHeadBytes - 2 * first);
    const uint32_t segments = CeilDivide(steps * kOctets, kSegmentBlocks);
    warp.Locally([&](int lane) {
      for (uint32_t i = lane; i < nibbles; i += kWarpLanes) {
        out[kHeadBytes + 2 * first + i] = memory.parts[part].nibbles[i];
      }
      for (uint32_t i = lane; marks != nullptr && i < segments; i += kWarpLanes) {
        marks[first * kOctets / kSegmentBlocks + i] = memory.parts[part].marks[i];
      }
      const uint32_t end = CeilDivide(sink.end, 4);
      for (uint32_t word = sink.begin / 4 + part * kWarpLanes + lane; word < end;
           word += kCrewWarps * kWarpLanes) {
        sink.StoreWord(word, JoinedWord(memory, sink.begin * 8, word));
      }
    });
  });
}

// Encodes a chunk: in `take(warp, size, statistics)` one of the warps gets the memory for its
// stream.
template <typename Crew, typename T, typename Rule, typename Take>
ENCKE_WARP_CODE void EncodeFast(Crew& crew, const FastEncodeJob<T, Rule>& job, uint16_t* marks,
                                const Take& take) {
  using Warp = typename Crew::Warp;
  using Memory = FastEncodeMemory<T>;
  Memory* memory = job.memory;
  constexpr uint32_t kAllWords = kCrewWarps * Memory::kWindowWords;
  ByteSink sink = {};  // once the chunk has its place
  uint32_t first = 0;  // word of the stream, then
  bool placed = false;
  do {
    crew.EachWarp([&](Warp& warp, int part) { ClearWindows<Memory>(warp, part, memory); });
    crew.EachWarp([&](Warp& warp, int part) {
      auto* own = &memory->parts[part];
      PartSink to = {{memory->windows + part * Memory::kWindowWords, 0, Memory::kWindowWords},
                     0,
                     job.Kept() ? own->nibbles : nullptr,
                     job.Kept() ? own->marks : nullptr,
                     true};
      if (placed) {
        const uint32_t step = job.FirstStep(part);
        const bool once = first == sink.begin / 4;
        auto* out = reinterpret_cast<uint8_t*>(sink.words);
        to = {{memory->windows, first, kAllWords},
              job.PartBegin(part),
              once ? out + kHeadBytes + 2 * step : nullptr,
              once && marks != nullptr ? marks + step * kOctets / kSegmentBlocks : nullptr,
              false};
      }
      FastEncoder<Warp, T, Rule>(warp, job, part).Encode(to);
    });
    if (!placed) {
      const bool copied = job.Copied();
      const uint32_t size = copied ? job.CopiedSize() : job.CodedSize();
      crew.EachWarp([&](Warp& warp, int part) {
        if (part != 0) return;
        ChunkStatistics statistics = job.Statistics();
        if (!(statistics.squares < INFINITY)) {
          statistics.squares = SumOfSquares(warp, job.data, job.elements);
        }
        uint8_t* out = take(warp, size, statistics);
        warp.Each([&](int lane) {
          if (lane == 0) memory->out = out;
          if (lane == 0 && out != nullptr && !copied) out[0] = static_cast<uint8_t>(HeadByte::FAST);
        });
      });
      auto* words = reinterpret_cast<uint32_t*>(memory->out);
      if (words == nullptr) return;
      if (copied) {
        crew.EachWarp([&](Warp& warp, int part) {
          if (part == 0) WriteCopy(warp, job.data, {words, 0, size});
        });
        return;
      }
      sink = {words, BitsBegin(job.elements), size};
      if (job.AllInWindows()) return WriteParts(crew, job, sink, marks);
      placed = true;
      first = sink.begin / 4;
      continue;
    }
    crew.EachWarp([&](Warp& warp, int part) {
      const uint32_t count = Least(CeilDivide(sink.end, 4) - first, kAllWords);
      warp.Locally([&](int lane) {
        for (uint32_t i = part * kWarpLanes + lane; i < count; i += kCrewWarps * kWarpLanes) {
          sink.StoreWord(first + i, memory->windows[i]);
        }
      });
    });
    first += kAllWords;
  } while (first < CeilDivide(sink.end, 4));
}

}  // namespace encke::cuda
