// The FAST encoder for one chunk and one warp: four octets, each of which codes every fourth block.
//
// Two passes over the chunk's blocks: the first finds how long each one's code is, the second writes
// the blocks to where the sums of those lengths put them. What is written goes through a window in
// shared memory, since neighbours share words.
#pragma once

#include "compression/cuda/fast_stream.h"

namespace encke::cuda {

// Words of the stream that are put together at a time: no less than four blocks' greatest codes.
constexpr uint32_t kWindowWords = 512;

// A block's bytes of codes, its escapes' elements apart.
struct BlockPlan {
  uint32_t bits;  // of the stream
  uint8_t nibble;
  uint8_t inner;  // as nibble, of extended blocks what codes their bytes
  bool wide, escaped;
};

// Shared memory of a warp. Of the first blocks of a chunk, all of the usual ones, codes and plans
// are kept between the passes.
template <typename T>
struct FastEncodeMemory {
  static constexpr uint32_t kSteps = (16 << 10) / sizeof(T) / kBlockElements / kOctets;
  uint32_t window[kWindowWords];
  uint32_t codes[kSteps][2][kWarpLanes];
  BlockPlan plans[kSteps][kOctets];
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

template <typename Warp, typename T, typename Rule>
class FastEncoder {
 public:
  // `data`: the chunk's elements. REQUIRES: at most 2^26 of them; `data`, `memory` outlive it.
  ENCKE_WARP_CODE FastEncoder(Warp& warp, const T* data, uint32_t elements,
                              const RuleTables<Rule>& tables, FastEncodeMemory<T>* memory)
      : warp_(warp), data_(data), elements_(elements), tables_(tables), memory_(memory) {
    warp_.Locally([&](int lane) { sums_[lane] = {}; });
  }

  // Length of the stream in bytes: to be called first.
  ENCKE_WARP_CODE uint32_t Measure() {
    PerLane<uint32_t> bits;
    PerLane<Elements> elements, next;
    warp_.Locally([&](int lane) {
      bits[lane] = 0;
      next[lane] = Load(lane, 0);
    });
    for (uint32_t step = 0; step < Steps(); ++step) {
      warp_.Locally([&](int lane) {
        elements[lane] = next[lane];
        if (step + 1 < Steps()) next[lane] = Load(lane, step + 1);
        codes_[lane] = Quantize(lane, step, elements[lane], &sums_[lane]);
      });
      Plan();
      warp_.Each([&](int lane) {
        if (LaneOfOctet(lane) == 0) bits[lane] += plans_[lane].bits;
        if (step >= Memory::kSteps) return;
        memory_->codes[step][0][lane] = codes_[lane].low.word[0];
        memory_->codes[step][1][lane] = codes_[lane].low.word[1];
        if (LaneOfOctet(lane) == 0) memory_->plans[step][OctetOf(lane)] = plans_[lane];
      });
    }
    const uint32_t size = BitsBegin(elements_) + (warp_.Sum(bits) + 7) / 8;
    copied_ = size > elements_ * sizeof(T);
    size_ = static_cast<uint32_t>(copied_ ? kHeadBytes + elements_ * sizeof(T) : size);
    return size_;
  }

  // Writes the stream to `out`, and the chunk's marks.
  ENCKE_WARP_CODE void Write(uint8_t* out, uint16_t* marks) {
    auto* words = reinterpret_cast<uint32_t*>(out);
    if (copied_) return WriteCopy(warp_, data_, {words, 0, size_});
    sink_ = {words, BitsBegin(elements_), size_};
    position_ = BitsBegin(elements_) * 8;
    first_ = position_ / 32;
    warp_.Each([&](int lane) {
      if (lane == 0) out[0] = static_cast<uint8_t>(HeadByte::FAST);
      for (uint32_t i = lane; i < kWindowWords; i += kWarpLanes) memory_->window[i] = 0;
    });
    uint32_t mark = 0;
    for (uint32_t step = 0; step < Steps(); ++step) {
      Recall(step);
      WriteNibbles(step, out);
      const uint32_t begin = position_;
      WriteBlocks();
      mark += position_ - begin;
      const bool complete = (step + 1) * kOctets % kSegmentBlocks == 0 || step + 1 == Steps();
      if (!complete) continue;
      warp_.Locally([&](int lane) {
        const uint32_t segment = step * kOctets / kSegmentBlocks;
        if (lane == 0 && marks != nullptr) marks[segment] = static_cast<uint16_t>(mark);
      });
      mark = 0;
    }
    Flush(CeilDivide(position_, 32));
  }

  // After Measure.
  ENCKE_WARP_CODE ChunkStatistics Statistics() {
    PerLane<uint32_t> nonzero, escapes;
    PerLane<double> squares;
    warp_.Locally([&](int lane) {
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
  using Memory = FastEncodeMemory<T>;

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

  // All octets take a block each in a step.
  ENCKE_WARP_CODE uint32_t Steps() const { return CeilDivide(BlocksOf(elements_), kOctets); }
  ENCKE_WARP_CODE static uint32_t BeginOf(int lane, uint32_t step) {
    return (step * kOctets + OctetOf(lane)) * kBlockElements;
  }

  // What lies behind the chunk is +0.
  ENCKE_WARP_CODE Elements Load(int lane, uint32_t step) const {
    const uint32_t begin = BeginOf(lane, step);
    return {{LoadQuad(data_, begin + WordBegin(lane, 0), elements_),
             LoadQuad(data_, begin + WordBegin(lane, 1), elements_)}};
  }

  // What lies behind the chunk has code 0.
  ENCKE_WARP_CODE Codes Quantize(int lane, uint32_t step, const Elements& elements,
                                 LaneSums* sums) const {
    const uint32_t begin = BeginOf(lane, step);
    const typename Rule::Table* tables = tables_.From(begin);
    Codes codes = {};
    ENCKE_UNROLL
    for (int w = 0; w < 2; ++w) {
      uint32_t counted = 0;
      ENCKE_UNROLL
      for (int i = 0; i < kQuad; ++i) {
        const T x = elements.quads[w].x[i];
        const ElementCode element = Rule::Quantize(x, tables[WordBegin(lane, w) + i]);
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
    const uint32_t left = element < elements_ ? elements_ - element : 0;
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

  // Codes and plans of a step, once more.
  ENCKE_WARP_CODE void Recall(uint32_t step) {
    bool again = step >= Memory::kSteps;
    if (!again) {
      PerLane<bool> extended;
      warp_.Each([&](int lane) {
        codes_[lane] = {};
        codes_[lane].low = {{memory_->codes[step][0][lane], memory_->codes[step][1][lane]}};
        plans_[lane] = memory_->plans[step][OctetOf(lane)];
        extended[lane] = plans_[lane].nibble == simd::kExtendedNibble;
      });
      again = warp_.Ballot(extended) != 0;
    }
    if (!again) return;
    warp_.Locally([&](int lane) {
      LaneSums counted = {};
      loaded_[lane] = Load(lane, step);
      codes_[lane] = Quantize(lane, step, loaded_[lane], &counted);
    });
    if (step >= Memory::kSteps) Plan();
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
      if (lane % (2 * kOctetLanes) != 0 || block >= BlocksOf(elements_)) return;
      out[kHeadBytes + block / 2] = static_cast<uint8_t>(nibbles[lane] | upper[lane] << 4);
    });
  }

  // What an octet still has to write of its block.
  struct Writing {
    uint32_t position;  // bit of the stream
    OctetBytes active;
    OctetBytes rest;  // planes of the codes
    OctetBytes levels;
    OctetBytes nonzero;
    int parameter, round;
  };

  // The step's blocks, from position_ on.
  ENCKE_WARP_CODE void WriteBlocks() {
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
    if (begin / 32 - first_ >= kWindowWords) Flush(position_ / 32);
    position_ = begin;
    PerLane<Writing> writing;
    PerLane<bool> extended, some;
    warp_.Locally([&](int lane) {
      writing[lane] = OpenBlock(lane);
      writing[lane].position = begins[lane];
      extended[lane] = plans_[lane].nibble == simd::kExtendedNibble;
    });
    if (warp_.Ballot(extended) != 0) WriteHeads(&writing);
    warp_.Locally([&](int lane) { some[lane] = writing[lane].active.any(); });
    while (warp_.Ballot(some) != 0) {
      PerLane<OctetBytes> bits;
      warp_.Locally([&](int lane) { bits[lane] = RoundOf(writing[lane]); });
      WriteBits(bits, &writing);
      warp_.Locally([&](int lane) {
        FinishRound(bits[lane], &writing[lane]);
        some[lane] = writing[lane].active.any();
      });
    }
    if (warp_.Ballot(extended) != 0) WriteEscapes(writing);
  }

  ENCKE_WARP_CODE Writing OpenBlock(int lane) const {
    const BlockPlan& planned = plans_[lane];
    const simd::RicePlan plan = simd::PlanOf(planned.inner);
    Writing writing = {};
    if (planned.inner == 0) return writing;
    writing.active = {{kByteOnes, kByteOnes}};
    writing.rest = planned.wide ? codes_[lane].high : codes_[lane].low;
    if (plan.sparse) {
      writing.nonzero = NonzeroOf(writing.rest);
      writing.rest = LessOne(writing.rest);
      writing.round = -1;
    }
    writing.levels = Shifted(writing.rest, plan.parameter);
    writing.parameter = plan.parameter;
    return writing;
  }

  // The bits of the next round: which codes are not 0, a plane, or a level.
  ENCKE_WARP_CODE static OctetBytes RoundOf(const Writing& writing) {
    if (writing.round < 0) return writing.nonzero;
    if (writing.round >= writing.parameter) return NonzeroOf(writing.levels);
    return {{writing.rest.word[0] >> writing.round & kByteOnes,
             writing.rest.word[1] >> writing.round & kByteOnes}};
  }
  ENCKE_WARP_CODE static void FinishRound(const OctetBytes& bits, Writing* writing) {
    if (writing->round < 0) writing->active = bits;
    if (writing->round >= writing->parameter) {
      writing->active = bits;
      writing->levels.word[0] -= bits.word[0];
      writing->levels.word[1] -= bits.word[1];
    }
    ++writing->round;
  }

  // `bits` of the codes that are active.
  ENCKE_WARP_CODE void WriteBits(const PerLane<OctetBytes>& bits, PerLane<Writing>* writing) {
    PerLane<ActiveCodes> active;
    PerLane<uint32_t> counts, low, high;
    warp_.Locally([&](int lane) {
      active[lane] = ActiveCodes((*writing)[lane].active);
      counts[lane] = active[lane].counts();
    });
    const PerLane<OctetOffsets> offsets = FindOffsets(warp_, counts);
    warp_.Locally([&](int lane) {
      uint32_t packed0, packed1;
      active[lane].Extract(bits[lane], &packed0, &packed1);
      const uint64_t second = static_cast<uint64_t>(packed1) << offsets[lane].second();
      low[lane] = packed0 << (offsets[lane].before & 31) | static_cast<uint32_t>(second);
      high[lane] = static_cast<uint32_t>(second >> 32);
    });
    const PerLane<uint32_t> lows = warp_.template OrOfGroup<kOctetLanes>(low);
    const PerLane<uint32_t> highs = warp_.template OrOfGroup<kOctetLanes>(high);
    warp_.Locally([&](int lane) {
      PutByOctet(lane, lows[lane], highs[lane], (*writing)[lane].position);
      (*writing)[lane].position += offsets[lane].total();
    });
  }

  // Three lanes write a word each. REQUIRES: what is written has been 0.
  ENCKE_WARP_CODE void PutByOctet(int lane, uint32_t low, uint32_t high, uint32_t position) const {
    const int word = LaneOfOctet(lane);
    if (word > 2) return;
    const uint32_t at = position % 32;
    // Of 96 bits, (high, low) << at.
    const uint32_t above = word == 0 ? low : word == 1 ? high : 0;
    const uint32_t below = word == 0 ? 0 : word == 1 ? low : high;
    const auto bits = static_cast<uint32_t>(
        (static_cast<uint64_t>(above) << 32 | below) << at >> 32);
    if (bits != 0) AtomicOr(memory_->window + (position / 32 - first_ + word), bits);
  }

  // What lies before the Rice codes of extended blocks.
  ENCKE_WARP_CODE void WriteHeads(PerLane<Writing>* writing) {
    PerLane<Writing> head;
    warp_.Locally([&](int lane) {
      head[lane] = {};
      head[lane].position = (*writing)[lane].position;
      const BlockPlan& plan = plans_[lane];
      if (plan.nibble != simd::kExtendedNibble) return;
      const int flags = (plan.escaped ? simd::kEscapeFlag : 0) | (plan.wide ? simd::kWideFlag : 0);
      PutByOctet(lane, static_cast<uint32_t>(flags | plan.inner << 2), 0, head[lane].position);
      head[lane].position += 6;
    });
    // The bitmap of escapes, then the low bytes' planes.
    for (int round = -1; round < 8; ++round) {
      PerLane<OctetBytes> bits;
      warp_.Locally([&](int lane) {
        const Codes& codes = codes_[lane];
        const bool any = round < 0 ? plans_[lane].escaped : plans_[lane].wide;
        head[lane].active = any ? OctetBytes{{kByteOnes, kByteOnes}} : OctetBytes{};
        bits[lane] = {};
        for (int w = 0; w < 2 && any; ++w) {
          bits[lane].word[w] =
              round < 0 ? codes.escapes.word[w] : codes.low.word[w] >> round & kByteOnes;
        }
      });
      WriteBits(bits, &head);
    }
    warp_.Locally([&](int lane) { (*writing)[lane].position = head[lane].position; });
  }

  // The escapes' elements, behind everything else.
  ENCKE_WARP_CODE void WriteEscapes(const PerLane<Writing>& writing) {
    PerLane<uint32_t> counts;
    warp_.Locally([&](int lane) { counts[lane] = ActiveCodes(codes_[lane].escapes).counts(); });
    const PerLane<OctetOffsets> offsets = FindOffsets(warp_, counts);
    warp_.Locally([&](int lane) {
      for (int w = 0; w < 2; ++w) {
        uint32_t position = writing[lane].position + offsets[lane].of(w) * kEscapeBits;
        ENCKE_UNROLL
        for (int i = 0; i < kQuad; ++i) {
          if ((codes_[lane].escapes.word[w] >> 8 * i & 1) == 0) continue;
          const uint64_t bits = static_cast<uint64_t>(BitsOf(loaded_[lane].quads[w].x[i]))
                                << position % 32;
          uint32_t* word = memory_->window + (position / 32 - first_);
          AtomicOr(word, static_cast<uint32_t>(bits));
          if (bits >> 32 != 0) AtomicOr(word + 1, static_cast<uint32_t>(bits >> 32));
          position += kEscapeBits;
        }
      }
    });
  }

  // Stores the window's words up to `end`, where it then begins.
  ENCKE_WARP_CODE void Flush(uint32_t end) {
    const uint32_t count = end - first_;
    PerLane<uint32_t> carry;
    warp_.Each([&](int lane) {
      for (uint32_t i = lane; i < count; i += kWarpLanes) {
        sink_.StoreWord(first_ + i, memory_->window[i]);
      }
      carry[lane] = memory_->window[count < kWindowWords ? count : 0];
    });
    warp_.Each([&](int lane) {
      for (uint32_t i = lane; i <= count && i < kWindowWords; i += kWarpLanes) {
        memory_->window[i] = i == 0 ? carry[lane] : 0;
      }
    });
    first_ = end;
  }

  Warp& warp_;
  const T* data_;
  uint32_t elements_;
  RuleTables<Rule> tables_;
  Memory* memory_;
  bool copied_ = false;
  uint32_t size_ = 0;
  ByteSink sink_ = {};
  uint32_t position_ = 0;  // bit of the stream
  uint32_t first_ = 0;     // word of the stream that the window begins with
  PerLane<LaneSums> sums_;
  // Of the step.
  PerLane<Elements> loaded_;  // where quantised again
  PerLane<Codes> codes_;
  PerLane<BlockPlan> plans_;
};

}  // namespace encke::cuda
