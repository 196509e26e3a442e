// The FAST encoder for one chunk and four warps, each of which has a quarter of the chunk's blocks
// and four octets: each codes every fourth block of that.
//
// Two passes over the chunk's blocks: the first finds how long each one's code is, the second
// writes the blocks to where the sums of those lengths put them. What is written goes through a
// window in shared memory, since neighbours share words.
#pragma once

#include "compression/cuda/fast_stream.h"

namespace encke::cuda {

// A block's bytes of codes, its escapes' elements apart.
struct BlockPlan {
  uint32_t bits;  // of the stream
  uint8_t nibble;
  uint8_t inner;  // as nibble, of extended blocks what codes their bytes
  bool wide, escaped;
};

// Shared memory of a chunk's warps.
template <typename T>
struct FastEncodeMemory {
  // Of the first blocks of a part, in usual chunks all, codes and plans are kept between the
  // passes.
  static constexpr uint32_t kSteps = (16 << 10) / sizeof(T) / kBlockElements / kOctets / kCrewWarps;
  static constexpr uint32_t kWindowWords = 4096 / sizeof(T);

  struct Part {
    // Of eight rounds, each lane's two packed nibbles (NibbleTable).
    alignas(16) uint16_t rounds[kOctets][kOctetLanes][kOctetLanes];
    uint32_t codes[kSteps][2][kWarpLanes];
    BlockPlan plans[kSteps][kOctets];
    uint32_t bits;  // of the part's blocks
    ChunkStatistics statistics;
  };

  Part parts[kCrewWarps];
  uint32_t window[kWindowWords];  // of the stream
  StoredChunk stored;
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
  const T* data;      // the chunk's elements
  uint32_t elements;  // at most 2^26
  RuleTables<Rule> tables;
  const NibbleTable* extracted;
  FastEncodeMemory<T>* memory;

  // All of a warp's octets take a block each in a step. Parts begin with segments.
  ENCKE_INLINE_MEMBER uint32_t steps() const { return CeilDivide(BlocksOf(elements), kOctets); }
  ENCKE_INLINE_MEMBER uint32_t FirstStep(int part) const {
    constexpr uint32_t kSegmentSteps = kSegmentBlocks / kOctets;
    const uint32_t each = CeilDivide(steps(), kCrewWarps * kSegmentSteps) * kSegmentSteps;
    return Least(steps(), part * each);
  }

  // After all parts were measured: the stream's length in bytes.
  ENCKE_WARP_CODE uint32_t CodedSize() const {
    uint32_t bits = 0;
    for (int part = 0; part < kCrewWarps; ++part) bits += memory->parts[part].bits;
    return BitsBegin(elements) + (bits + 7) / 8;
  }
  ENCKE_WARP_CODE uint32_t CopiedSize() const {
    return kHeadBytes + elements * static_cast<uint32_t>(sizeof(T));
  }
  ENCKE_WARP_CODE bool Copied() const { return CodedSize() >= CopiedSize(); }

  // Likewise; `squares` may have overflowed.
  ENCKE_WARP_CODE ChunkStatistics Statistics() const {
    ChunkStatistics sum = {};
    for (int part = 0; part < kCrewWarps; ++part) {
      const ChunkStatistics& one = memory->parts[part].statistics;
      sum.nonzero += one.nonzero;
      sum.escapes += one.escapes;
      sum.squares += one.squares;
    }
    if (Copied()) sum.escapes = elements;
    return sum;
  }
};

// One warp's part of a chunk.
template <typename Warp, typename T, typename Rule>
class FastEncoder {
 public:
  using Job = FastEncodeJob<T, Rule>;

  ENCKE_WARP_CODE FastEncoder(Warp& warp, const Job& job, int part)
      : warp_(warp),
        job_(job),
        part_(part),
        memory_(&job.memory->parts[part]),
        window_(job.memory->window) {
    warp_.Locally([&](int lane) { sums_[lane] = {}; });
  }

  // To be called first: how many bits the part takes, and its sums, to shared memory.
  ENCKE_WARP_CODE void Measure() {
    PerLane<uint32_t> bits;
    PerLane<Elements> elements, next;
    warp_.Locally([&](int lane) {
      bits[lane] = 0;
      next[lane] = Load(lane, FirstStep());
    });
    for (uint32_t step = FirstStep(); step < EndStep(); ++step) {
      warp_.Locally([&](int lane) {
        elements[lane] = next[lane];
        if (step + 1 < EndStep()) next[lane] = Load(lane, step + 1);
        codes_[lane] = Quantize(lane, step, elements[lane], &sums_[lane]);
      });
      Plan();
      const uint32_t kept = step - FirstStep();
      warp_.Each([&](int lane) {
        if (LaneOfOctet(lane) == 0) bits[lane] += plans_[lane].bits;
        if (kept >= Memory::kSteps) return;
        memory_->codes[kept][0][lane] = codes_[lane].low.word[0];
        memory_->codes[kept][1][lane] = codes_[lane].low.word[1];
        if (LaneOfOctet(lane) == 0) memory_->plans[kept][OctetOf(lane)] = plans_[lane];
      });
    }
    const uint32_t total = warp_.Sum(bits);
    const ChunkStatistics statistics = Statistics();
    warp_.Each([&](int lane) {
      if (lane != 0) return;
      memory_->bits = total;
      memory_->statistics = statistics;
    });
  }

  // After all were measured: the part's share of what lies in the window, of which `first` is the
  // first word, to the window, which has been 0; with the first one, nibbles and marks to memory.
  ENCKE_WARP_CODE void Write(uint32_t first, bool first_window, uint8_t* out, uint16_t* marks) {
    first_ = first;
    position_ = BitsBegin(job_.elements) * 8;
    for (int part = 0; part < part_; ++part) position_ += job_.memory->parts[part].bits;
    uint32_t mark = 0;
    for (uint32_t step = FirstStep(); step < EndStep(); ++step) {
      RecallPlans(step);
      if (first_window) WriteNibbles(step, out);
      const uint32_t begin = position_;
      WriteBlocks(step);
      mark += position_ - begin;
      const bool complete = (step + 1) * kOctets % kSegmentBlocks == 0 || step + 1 == EndStep();
      if (!complete) continue;
      warp_.Locally([&](int lane) {
        const uint32_t segment = step * kOctets / kSegmentBlocks;
        if (lane == 0 && marks != nullptr) marks[segment] = static_cast<uint16_t>(mark);
      });
      mark = 0;
    }
  }

 private:
  template <typename V>
  using PerLane = typename Warp::template PerLane<V>;
  using Memory = FastEncodeMemory<T>;
  static constexpr uint32_t kWindowWords = Memory::kWindowWords;

  static_assert(kSegmentBlocks % kOctets == 0);
  static constexpr uint32_t kEscapeBits = 8 * sizeof(T);

  // A lane's elements of a block, and their codes.
  struct Elements {
    Quad<T> quads[2];
  };
  struct Codes {
    OctetBytes low, high;
    OctetBytes escapes;  // 1 where the element is an escape
  };

  ENCKE_WARP_CODE uint32_t FirstStep() const { return job_.FirstStep(part_); }
  ENCKE_WARP_CODE uint32_t EndStep() const { return job_.FirstStep(part_ + 1); }
  ENCKE_WARP_CODE static uint32_t BeginOf(int lane, uint32_t step) {
    return (step * kOctets + OctetOf(lane)) * kBlockElements;
  }

  ENCKE_WARP_CODE ChunkStatistics Statistics() {
    PerLane<uint32_t> nonzero, escapes;
    PerLane<double> squares;
    warp_.Locally([&](int lane) {
      nonzero[lane] = sums_[lane].nonzero;
      escapes[lane] = sums_[lane].escapes;
      squares[lane] = sums_[lane].squares;
    });
    return {warp_.Sum(nonzero), warp_.Sum(escapes), warp_.Sum(squares)};
  }

  // What lies behind the chunk is +0.
  ENCKE_WARP_CODE Elements Load(int lane, uint32_t step) const {
    const uint32_t begin = BeginOf(lane, step);
    return {{LoadQuad(job_.data, begin + WordBegin(lane, 0), job_.elements),
             LoadQuad(job_.data, begin + WordBegin(lane, 1), job_.elements)}};
  }

  // What lies behind the chunk has code 0.
  ENCKE_WARP_CODE Codes Quantize(int lane, uint32_t step, const Elements& elements,
                                 LaneSums* sums) const {
    const uint32_t begin = BeginOf(lane, step);
    const typename Rule::Table* tables = job_.tables.From(begin);
    Codes codes = {};
    ENCKE_UNROLL
    for (int w = 0; w < 2; ++w) {
      uint32_t counted = 0;
      ENCKE_UNROLL
      for (int i = 0; i < kQuad; ++i) {
        const T x = elements.quads[w].x[i];
        const typename Rule::Table table = tables[WordBegin(lane, w) + i];
        const ElementCode element = Rule::Quantize(x, table);
        codes.low.word[w] |= (element.code & 255) << 8 * i;
        codes.high.word[w] |= (element.code >> 8) << 8 * i;
        codes.escapes.word[w] |= static_cast<uint32_t>(!element.good) << 8 * i;
        counted |= static_cast<uint32_t>(element.counted) << 8 * i;
        sums->AddSquare(Widen(x));
      }
      const uint32_t valid = ValidBytes(begin + WordBegin(lane, w));
      codes.low.word[w] &= valid * 255;
      codes.high.word[w] &= valid * 255;
      codes.escapes.word[w] &= valid;
      sums->escapes = DotBytes(codes.escapes.word[w], kByteOnes, sums->escapes);
      sums->nonzero = DotBytes(counted & valid, kByteOnes, sums->nonzero);
    }
    return codes;
  }

  // 1 for each of four elements from `element` on that the chunk has.
  ENCKE_WARP_CODE uint32_t ValidBytes(uint32_t element) const {
    const uint32_t left = element < job_.elements ? job_.elements - element : 0;
    return left >= kQuad ? kByteOnes : kByteOnes & ((1u << 8 * left) - 1);
  }

  // Plans of the blocks whose codes the octets have.
  ENCKE_WARP_CODE void Plan() {
    PerLane<uint32_t> bits;
    warp_.Locally([&](int lane) {
      const Codes& codes = codes_[lane];
      bits[lane] = OrOfBytes(codes.low) | OrOfBytes(codes.high) << 8;
    });
    const PerLane<uint32_t> all = warp_.template OrOfGroup<kOctetLanes>(bits);
    PerLane<uint32_t> sums, shifted;
    PerLane<OctetBytes> bytes;
    warp_.Locally([&](int lane) {
      const Codes& codes = codes_[lane];
      bytes[lane] = all[lane] > 255 ? codes.high : codes.low;
      sums[lane] = SumOfBytes(bytes[lane]) | SumOfBytes(NonzeroOf(bytes[lane])) << 15 |
                   SumOfBytes(codes.escapes) << 22;
    });
    const PerLane<uint32_t> total = warp_.template SumOfGroup<kOctetLanes>(sums);
    PerLane<simd::RicePlan> plain, sparse;
    warp_.Locally([&](int lane) {
      const uint32_t any = all[lane] > 255 ? all[lane] >> 8 : all[lane];
      FindCandidates(total[lane] & 0x7fff, total[lane] >> 15 & 127, any, &plain[lane],
                     &sparse[lane]);
      shifted[lane] = SumShifted(bytes[lane], plain[lane].parameter) |
                      SumShifted(LessOne(bytes[lane]), sparse[lane].parameter) << 16;
    });
    const PerLane<uint32_t> unary = warp_.template SumOfGroup<kOctetLanes>(shifted);
    warp_.Locally([&](int lane) {
      const uint32_t count = total[lane] >> 15 & 127, escapes = total[lane] >> 22;
      simd::RicePlan plan = plain[lane];
      uint32_t rice = plan.nibble == 0 ? 0 : 64 * (plan.parameter + 1) + (unary[lane] & 0xffff);
      const uint32_t with = 64 + count * (sparse[lane].parameter + 1) + (unary[lane] >> 16);
      if (sparse[lane].nibble != 0 && with < rice) {
        plan = sparse[lane];
        rice = with;
      }
      const bool wide = all[lane] > 255, escaped = escapes > 0, extended = wide || escaped;
      const auto inner = static_cast<uint8_t>(plan.nibble);
      plans_[lane] = {rice + (escaped ? 64 + escapes * kEscapeBits : 0) + (wide ? 8 * 64 : 0) +
                          (extended ? 6 : 0),
                      extended ? static_cast<uint8_t>(simd::kExtendedNibble) : inner, inner, wide,
                      escaped};
    });
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

  ENCKE_WARP_CODE bool Kept(uint32_t step) const { return step - FirstStep() < Memory::kSteps; }

  // Plans of a step, once more, and its codes where these have to be made again for that.
  ENCKE_WARP_CODE void RecallPlans(uint32_t step) {
    if (Kept(step)) {
      warp_.Locally(
          [&](int lane) { plans_[lane] = memory_->plans[step - FirstStep()][OctetOf(lane)]; });
    } else {
      QuantizeAgain(step);
      Plan();
    }
  }
  ENCKE_WARP_CODE void RecallCodes(uint32_t step, bool extended) {
    if (!Kept(step)) return;
    if (extended) return QuantizeAgain(step);
    warp_.Locally([&](int lane) {
      const uint32_t kept = step - FirstStep();
      codes_[lane] = {};
      codes_[lane].low = {{memory_->codes[kept][0][lane], memory_->codes[kept][1][lane]}};
    });
  }
  ENCKE_WARP_CODE void QuantizeAgain(uint32_t step) {
    warp_.Locally([&](int lane) {
      LaneSums counted = {};
      loaded_[lane] = Load(lane, step);
      codes_[lane] = Quantize(lane, step, loaded_[lane], &counted);
    });
  }

  // Two blocks' nibbles make a byte.
  ENCKE_WARP_CODE void WriteNibbles(uint32_t step, uint8_t* out) {
    PerLane<int> nibbles, next;
    warp_.Locally([&](int lane) {
      nibbles[lane] = plans_[lane].nibble;
      next[lane] = lane + kOctetLanes;
    });
    const PerLane<int> upper = warp_.Shuffle(nibbles, next);
    warp_.Locally([&](int lane) {
      const uint32_t block = step * kOctets + OctetOf(lane);
      if (lane % (2 * kOctetLanes) != 0 || block >= BlocksOf(job_.elements)) return;
      out[kHeadBytes + block / 2] = static_cast<uint8_t>(nibbles[lane] | upper[lane] << 4);
    });
  }

  // Rounds of a block. Those of an extended one begin earlier: with the bitmap of escapes and the
  // low bytes' planes.
  static constexpr int kEscapesRound = -10, kLowRound = -9, kSparseRound = -1;

  // What an octet still has to write of its block.
  struct Writing {
    uint32_t position;   // bit of the stream
    uint32_t active[2];  // of each word's codes, a bit each
    OctetBytes rest;     // the codes' planes
    OctetBytes levels;   // below 128, as plans are chosen
    uint32_t threshold;  // in each byte what makes those levels 128 that reach the next one
    int round, parameter;
    bool sparse;
  };

  // The step's blocks, from position_ on.
  ENCKE_WARP_CODE void WriteBlocks(uint32_t step) {
    PerLane<uint32_t> lengths;
    warp_.Locally(
        [&](int lane) { lengths[lane] = LaneOfOctet(lane) == 0 ? plans_[lane].bits : 0; });
    PerLane<uint32_t> begins;
    uint32_t begin = position_;
    for (int octet = 0; octet < kOctets; ++octet) {
      const uint32_t length = warp_.Broadcast(lengths, octet * kOctetLanes);
      warp_.Locally([&](int lane) {
        if (OctetOf(lane) == octet) begins[lane] = begin;
      });
      begin += length;
    }
    const bool before = begin / 32 < first_, behind = position_ / 32 >= first_ + kWindowWords;
    position_ = begin;
    if (before || behind) return;
    PerLane<Writing> writing;
    PerLane<bool> extended, some;
    warp_.Locally([&](int lane) { extended[lane] = plans_[lane].nibble == simd::kExtendedNibble; });
    const bool any_extended = warp_.Ballot(extended) != 0;
    RecallCodes(step, any_extended);
    warp_.Locally([&](int lane) {
      writing[lane] = OpenBlock(lane, begins[lane]);
      some[lane] = (writing[lane].active[0] | writing[lane].active[1]) != 0;
    });
    while (warp_.Ballot(some) != 0) {
      int rounds = 0;
      for (; rounds < kOctetLanes && warp_.Ballot(some) != 0; ++rounds) {
        warp_.Locally([&](int lane) {
          memory_->rounds[OctetOf(lane)][rounds][LaneOfOctet(lane)] =
              PackRound(lane, &writing[lane]);
          some[lane] = (writing[lane].active[0] | writing[lane].active[1]) != 0;
        });
      }
      WriteRounds(rounds, &writing);
    }
    if (any_extended) WriteEscapes(writing);
  }

  ENCKE_WARP_CODE Writing OpenBlock(int lane, uint32_t position) const {
    const BlockPlan& planned = plans_[lane];
    const simd::RicePlan plan = simd::PlanOf(planned.inner);
    Writing writing = {};
    writing.position = position;
    writing.sparse = plan.sparse;
    writing.round = plan.sparse ? kSparseRound : 0;
    writing.parameter = plan.parameter;
    writing.threshold = 0x7f7f7f7f;
    writing.rest = planned.wide ? codes_[lane].high : codes_[lane].low;
    if (plan.sparse) writing.rest = LessOne(writing.rest);
    writing.levels = Shifted(writing.rest, plan.parameter);
    if (planned.inner != 0) writing.active[0] = writing.active[1] = 15;
    if (planned.nibble == simd::kExtendedNibble) OpenExtended(lane, planned, &writing);
    return writing;
  }

  ENCKE_WARP_CODE void OpenExtended(int lane, const BlockPlan& plan, Writing* writing) const {
    const int flags = (plan.escaped ? simd::kEscapeFlag : 0) | (plan.wide ? simd::kWideFlag : 0);
    if (LaneOfOctet(lane) == 0) {
      PutBits(static_cast<uint32_t>(flags | plan.inner << 2), 0, writing->position);
    }
    writing->position += 6;
    writing->round = plan.escaped ? kEscapesRound : kLowRound;
    writing->active[0] = writing->active[1] = 15;
  }

  // A lane's part of the next round: what it adds to it of either word.
  ENCKE_WARP_CODE uint16_t PackRound(int lane, Writing* writing) const {
    const int round = writing->round;
    const bool level = round >= writing->parameter;
    uint32_t bits[2];  // in each byte's highest
    ENCKE_UNROLL
    for (int w = 0; w < 2; ++w) {
      bits[w] = level ? writing->levels.word[w] + writing->threshold
                      : writing->rest.word[w] << ((7 - round) & 31);
    }
    if (round < 0) EarlyRound(lane, *writing, bits);
    uint32_t packed = 0;
    ENCKE_UNROLL
    for (int w = 0; w < 2; ++w) {
      const uint32_t own = GatherBits(bits[w] & 0x80808080) >> 7;
      packed |= job_.extracted->At(writing->active[w], own) << 8 * w;
      if (level || round == kSparseRound) writing->active[w] = own;
    }
    if (level) writing->threshold -= kByteOnes;
    writing->round = round + 1;
    if (round < kSparseRound) FinishEarlyRound(lane, writing);
    return static_cast<uint16_t>(packed);
  }

  ENCKE_WARP_CODE void EarlyRound(int lane, const Writing& writing, uint32_t* bits) const {
    const Codes& codes = codes_[lane];
    for (int w = 0; w < 2; ++w) {
      if (writing.round == kSparseRound) {
        bits[w] = NonzeroBytes(plans_[lane].wide ? codes.high.word[w] : codes.low.word[w]) << 7;
      } else if (writing.round == kEscapesRound) {
        bits[w] = codes.escapes.word[w] << 7;
      } else {
        bits[w] = codes.low.word[w] << (7 - (writing.round - kLowRound));
      }
    }
  }
  ENCKE_WARP_CODE void FinishEarlyRound(int lane, Writing* writing) const {
    const BlockPlan& plan = plans_[lane];
    const bool last_low = writing->round == kSparseRound;
    if (!last_low && plan.wide) return;
    writing->round = writing->sparse ? kSparseRound : 0;
    if (plan.inner == 0) writing->active[0] = writing->active[1] = 0;
  }

  // Of so many rounds, no more than eight, that lie in shared memory: each lane puts one together.
  ENCKE_WARP_CODE void WriteRounds(int rounds, PerLane<Writing>* writing) {
    PerLane<uint32_t> low, high, counts;
    warp_.Each([&](int lane) {
      low[lane] = high[lane] = counts[lane] = 0;
      if (LaneOfOctet(lane) >= rounds) return;
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
    const PerLane<uint32_t> total = warp_.template SumOfGroup<kOctetLanes>(counts);
    warp_.Locally([&](int lane) {
      PutBits(low[lane], high[lane], (*writing)[lane].position + before[lane]);
      (*writing)[lane].position += total[lane];
    });
  }

  // Packed nibbles of eight lanes, a byte each, one behind the other.
  ENCKE_WARP_CODE static void JoinNibbles(uint32_t first, uint32_t last, uint32_t* bits,
                                          uint32_t* count) {
    *bits = 0;
    ENCKE_UNROLL
    for (int i = kOctetLanes - 1; i >= 0; --i) {
      const uint32_t packed = (i < 4 ? first >> 8 * i : last >> 8 * (i - 4)) & 255;
      *bits = *bits << (packed >> 4) | (packed & 15);
    }
    *count =
        DotBytes(first >> 4 & 0x0f0f0f0f, kByteOnes, DotBytes(last >> 4 & 0x0f0f0f0f, kByteOnes));
  }

  // What of it lies in the window. REQUIRES: that has been 0.
  ENCKE_WARP_CODE void PutBits(uint32_t low, uint32_t high, uint32_t position) const {
    const uint32_t word = position / 32 - first_;
    const uint32_t at = position % 32;
    const uint64_t begin = static_cast<uint64_t>(low) << at;
    const uint64_t end = static_cast<uint64_t>(high) << at;
    const auto first = static_cast<uint32_t>(begin);
    const auto second = static_cast<uint32_t>(begin >> 32) | static_cast<uint32_t>(end);
    const auto third = static_cast<uint32_t>(end >> 32);
    OrWord(word, first);
    OrWord(word + 1, second);
    OrWord(word + 2, third);
  }
  // `word` of the window; modulo 2^32 where it lies before that.
  ENCKE_WARP_CODE void OrWord(uint32_t word, uint32_t bits) const {
    if (bits != 0 && word < kWindowWords) AtomicOr(&window_[word], bits);
  }

  // The escapes' elements, behind everything else.
  ENCKE_WARP_CODE void WriteEscapes(const PerLane<Writing>& writing) {
    PerLane<uint32_t> counts;
    warp_.Locally([&](int lane) { counts[lane] = CountsOf(codes_[lane].escapes); });
    const PerLane<OctetOffsets> offsets = FindOffsets(warp_, counts);
    warp_.Locally([&](int lane) {
      for (int w = 0; w < 2; ++w) {
        uint32_t position = writing[lane].position + offsets[lane].of(w) * kEscapeBits;
        ENCKE_UNROLL
        for (int i = 0; i < kQuad; ++i) {
          if ((codes_[lane].escapes.word[w] >> 8 * i & 1) == 0) continue;
          PutBits(BitsOf(loaded_[lane].quads[w].x[i]), 0, position);
          position += kEscapeBits;
        }
      }
    });
  }

  Warp& warp_;
  Job job_;
  int part_;
  typename Memory::Part* memory_;
  uint32_t* window_;
  uint32_t position_ = 0;  // bit of the stream
  uint32_t first_ = 0;     // word of the stream that the window begins with
  PerLane<LaneSums> sums_;
  // Of the step.
  PerLane<Elements> loaded_;  // where quantised again
  PerLane<Codes> codes_;
  PerLane<BlockPlan> plans_;
};

// A warp's share of it.
template <typename Memory, typename Warp>
ENCKE_WARP_CODE void ClearWindow(Warp& warp, int part, Memory* memory) {
  warp.Each([&](int lane) {
    for (uint32_t i = part * kWarpLanes + lane; i < Memory::kWindowWords;
         i += kCrewWarps * kWarpLanes) {
      memory->window[i] = 0;
    }
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
  crew.EachWarp([&](Warp& warp, int part) {
    FastEncoder<Warp, T, Rule>(warp, job, part).Measure();
    ClearWindow<Memory>(warp, part, memory);
  });
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
  uint8_t* out = memory->out;
  if (out == nullptr) return;
  auto* words = reinterpret_cast<uint32_t*>(out);
  if (copied) {
    crew.EachWarp([&](Warp& warp, int part) {
      if (part == 0) WriteCopy(warp, job.data, {words, 0, size});
    });
    return;
  }
  const ByteSink sink = {words, BitsBegin(job.elements), size};
  const uint32_t begin = sink.begin / 4, end = CeilDivide(size, 4);
  for (uint32_t first = begin; first < end; first += Memory::kWindowWords) {
    crew.EachWarp([&](Warp& warp, int part) {
      FastEncoder<Warp, T, Rule>(warp, job, part).Write(first, first == begin, out, marks);
    });
    crew.EachWarp([&](Warp& warp, int part) {
      const uint32_t count = Least(end - first, Memory::kWindowWords);
      warp.Each([&](int lane) {
        for (uint32_t i = part * kWarpLanes + lane; i < count; i += kCrewWarps * kWarpLanes) {
          sink.StoreWord(first + i, memory->window[i]);
          memory->window[i] = 0;
        }
      });
    });
  }
}

}  // namespace encke::cuda
