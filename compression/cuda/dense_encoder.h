// The DENSE encoder for two chunks and one warp, half a warp each; the stream is drawn in
// doc/codec-format.md.
//
// Blocks are quantised and become tokens, raw bits and escapes in scratch memory, first to last;
// then the tokens are entropy coded, last to first. Only then is the stream's length known, and it
// is copied to its place.
#pragma once

#include "compression/cuda/dense_token.h"

namespace encke::cuda {

// Scratch memory of one chunk.
struct DenseScratch {
  uint8_t* tokens;    // n: elements, rounded up to whole blocks
  uint32_t* bits;     // 2 n bytes, and 64: the raw bits
  uint16_t* words;    // n: of the coders, filled from the end
  uint32_t* escapes;  // n / 32: their positions

  // REQUIRES: a multiple of 16.
  ENCKE_INLINE_MEMBER static uint64_t Bytes(uint32_t elements) {
    const uint64_t n = uint64_t{DenseBlocks(elements)} * kBlockElements;
    return 5 * n + 64 + CeilDivide(static_cast<uint32_t>(n / 8), 16) * 16;
  }
  ENCKE_INLINE_MEMBER DenseScratch(uint8_t* memory, uint32_t elements) {
    const uint32_t n = DenseBlocks(elements) * kBlockElements;
    tokens = memory;
    bits = reinterpret_cast<uint32_t*>(memory + n);
    words = reinterpret_cast<uint16_t*>(memory + 3 * n + 64);
    escapes = reinterpret_cast<uint32_t*>(memory + 5 * n + 64);
  }
  DenseScratch() = default;
};

template <typename T>
struct DenseEncodeJob {
  const T* data;
  uint32_t elements;  // 0: no chunk
  uint8_t* scratch;   // DenseScratch::Bytes, 16-byte aligned
};

// Raw bits of one block and of the word before: at most 64 * (8 + 7) + 31.
constexpr int kDenseWindow = 32;

// Shared memory of a warp.
struct DenseEncodeMemory {
  uint32_t window[kTeams][kDenseWindow];
};

template <typename Warp, typename T, typename Rule>
class DenseEncoder {
 public:
  template <typename V>
  using PerLane = typename Warp::template PerLane<V>;

  // `tables`: in memory that is fast to read at random. All chunks have the same `shape`.
  ENCKE_WARP_CODE DenseEncoder(Warp& warp, const DenseEncodeJob<T>& first,
                               const DenseEncodeJob<T>& second, const simd::DenseShape& shape,
                               const RuleTables<Rule>& rules, const DenseTables& tables,
                               DenseEncodeMemory* memory)
      : warp_(warp),
        neighbours_(simd::NeighboursOf(shape.channels, shape.width)),
        rules_(rules),
        tables_(tables),
        memory_(memory) {
    warp_.Each([&](int lane) {
      const DenseEncodeJob<T>& job = TeamOf(lane) == 0 ? first : second;
      data_[lane] = job.data;
      elements_[lane] = job.elements;
      if (job.elements > 0) scratch_[lane] = DenseScratch(job.scratch, job.elements);
      blocks_[lane] = DenseBlocks(job.elements);
      sums_[lane] = {};
      carry_[lane] = escapes_[lane] = position_[lane] = 0;
      words_[lane] = 0;
      states_[lane] = simd::kStateLow;
    });
  }

  // To be called first. Afterwards size() is each lane's chunk's length in bytes, 0 where this
  // codec does not pay and another has to take the chunk.
  ENCKE_WARP_CODE void Measure() {
    const uint32_t blocks = MostOfTeams(warp_, blocks_);
    for (uint32_t block = 0; block < blocks; ++block) TokenizeBlock(block);
    StoreCarry();
    CodeTokens();
    FindSize();
  }
  ENCKE_WARP_CODE const PerLane<uint32_t>& size() const { return size_; }

  // Writes the chunks' streams to where each lane's `out` says; not those without.
  ENCKE_WARP_CODE void Write(const PerLane<uint8_t*>& out) {
    warp_.Each([&](int lane) {
      if (out[lane] != nullptr) WriteParts(lane, out[lane]);
    });
  }

  // Of one team's chunk, after Measure; `squares` may have overflowed.
  ENCKE_WARP_CODE ChunkStatistics Statistics(int team) {
    PerLane<uint32_t> nonzero, escapes;
    PerLane<double> squares;
    warp_.Each([&](int lane) {
      nonzero[lane] = sums_[lane].nonzero;
      escapes[lane] = sums_[lane].escapes;
      squares[lane] = sums_[lane].squares;
    });
    const int lane = team * kTeamLanes;
    return {warp_.Broadcast(warp_.template SumOfGroup<kTeamLanes>(nonzero), lane),
            warp_.Broadcast(warp_.template SumOfGroup<kTeamLanes>(escapes), lane),
            warp_.Broadcast(warp_.template SumOfGroup<kTeamLanes>(squares), lane)};
  }

 private:
  static constexpr uint32_t kEscapeShare = 32;  // more escapes than one element in so many: no

  // A lane's four elements of a block.
  struct QuadTokens {
    Token of[kQuad];
    uint32_t valid;    // one bit each: the chunk has it
    uint32_t escaped;  // likewise: and it has no code or no token
  };

  ENCKE_WARP_CODE void TokenizeBlock(uint32_t block) {
    PerLane<QuadTokens> quads;
    PerLane<uint32_t> extra, active;
    PerLane<bool> any_escaped, any_raw;
    const typename Rule::Table first = rules_.entries[0];
    warp_.Each([&](int lane) {
      quads[lane] = {};
      extra[lane] = active[lane] = 0;
      if (block < blocks_[lane]) quads[lane] = TokenizeQuad(lane, block, first);
      if (block < blocks_[lane]) CountRaw(quads[lane], &extra[lane], &active[lane]);
      any_escaped[lane] = quads[lane].escaped != 0;
      any_raw[lane] = extra[lane] != 0 || (tables_.shift > 0 && active[lane] != 0);
    });
    if (warp_.Ballot(any_escaped) != 0) AppendEscapes(block, quads);
    if (warp_.Ballot(any_raw) != 0) WriteRaw(quads, extra, active);
  }

  ENCKE_WARP_CODE QuadTokens TokenizeQuad(int lane, uint32_t block,
                                          const typename Rule::Table& first) {
    const uint32_t begin = block * kBlockElements + TeamLane(lane) * kQuad;
    const Quad<T> quad = LoadQuad(data_[lane], begin, elements_[lane]);
    const auto rule_tables = TablesFrom(rules_, first, begin);
    QuadTokens result = {};
    uint32_t packed = 0;
    ENCKE_UNROLL
    for (int i = 0; i < kQuad; ++i) {
      const bool valid = begin + i < elements_[lane];
      ElementCode element = {0, true, false};
      if (valid) {
        element = Rule::Quantize(quad.x[i], rule_tables[i]);
        sums_[lane].AddSquare(Widen(quad.x[i]));
        sums_[lane].nonzero += element.counted;
      }
      Token token = TokenOfCode<Rule::kMode>(element.code, tables_);
      const bool coded = element.good && token.known;
      sums_[lane].escapes += valid && !coded;
      if (!coded || !valid) token = {tables_.rule.zero, 0, token.low, false};
      result.valid |= static_cast<uint32_t>(valid) << i;
      result.escaped |= static_cast<uint32_t>(!coded && valid) << i;
      packed |= token.token << 8 * i;
      result.of[i] = token;
    }
    *reinterpret_cast<uint32_t*>(scratch_[lane].tokens + begin) = packed;
    return result;
  }

  // Raw bits beside a token: none of an element that is not there.
  ENCKE_WARP_CODE int Extra(const QuadTokens& quad, int i) const {
    return (quad.valid >> i & 1) != 0 ? ExtraBits<Rule::kMode>(quad.of[i].token, tables_) : 0;
  }
  // Whether the shift's low bits are kept.
  ENCKE_WARP_CODE bool IsActive(const Token& token) const {
    return IsShifted<Rule::kMode>(token.token, tables_);
  }

  ENCKE_WARP_CODE void CountRaw(const QuadTokens& quad, uint32_t* extra, uint32_t* active) const {
    ENCKE_UNROLL
    for (int i = 0; i < kQuad; ++i) {
      *extra += Extra(quad, i);
      *active += IsActive(quad.of[i]);
    }
  }

  ENCKE_WARP_CODE void AppendEscapes(uint32_t block, const PerLane<QuadTokens>& quads) {
    PerLane<uint32_t> count;
    warp_.Each([&](int lane) { count[lane] = Popcount(quads[lane].escaped); });
    const PerLane<uint32_t> before = warp_.template SumBefore<kTeamLanes>(count);
    const PerLane<uint32_t> total = warp_.template SumOfGroup<kTeamLanes>(count);
    warp_.Each([&](int lane) {
      uint32_t at = escapes_[lane] + before[lane];
      for (int i = 0; i < kQuad; ++i) {
        if ((quads[lane].escaped >> i & 1) == 0) continue;
        const uint32_t position = block * kBlockElements + TeamLane(lane) * kQuad + i;
        if (at < MaxEscapes(lane)) scratch_[lane].escapes[at] = position;
        ++at;
      }
      escapes_[lane] += total[lane];
    });
  }

  ENCKE_WARP_CODE uint32_t MaxEscapes(int lane) const {
    return blocks_[lane] * kBlockElements / kEscapeShare;
  }

  // The tokens' extra bits, element by element, then the shift's low bits, plane by plane.
  ENCKE_WARP_CODE void WriteRaw(const PerLane<QuadTokens>& quads, const PerLane<uint32_t>& extra,
                                const PerLane<uint32_t>& active) {
    const PerLane<uint32_t> extra_before = warp_.template SumBefore<kTeamLanes>(extra);
    const PerLane<uint32_t> extra_total = warp_.template SumOfGroup<kTeamLanes>(extra);
    const PerLane<uint32_t> active_before = warp_.template SumBefore<kTeamLanes>(active);
    const PerLane<uint32_t> active_total = warp_.template SumOfGroup<kTeamLanes>(active);
    warp_.Each([&](int lane) {
      uint32_t* window = memory_->window[TeamOf(lane)];
      window[TeamLane(lane)] = TeamLane(lane) == 0 ? carry_[lane] : 0;
      window[TeamLane(lane) + kTeamLanes] = 0;
    });
    warp_.Each([&](int lane) {
      const BitWindow window = {memory_->window[TeamOf(lane)], 0, kDenseWindow};
      const uint32_t begin = position_[lane] % 32;
      WriteExtras(quads[lane], window, begin + extra_before[lane]);
      for (int plane = 0; plane < tables_.shift; ++plane) {
        WritePlane(quads[lane], plane, window,
                   begin + extra_total[lane] + plane * active_total[lane] + active_before[lane]);
      }
    });
    warp_.Each([&](int lane) {
      const uint32_t* window = memory_->window[TeamOf(lane)];
      const uint32_t first = position_[lane] / 32;
      position_[lane] += extra_total[lane] + tables_.shift * active_total[lane];
      const uint32_t whole = position_[lane] / 32 - first;
      for (uint32_t i = TeamLane(lane); i < whole; i += kTeamLanes) {
        scratch_[lane].bits[first + i] = window[i];
      }
      carry_[lane] = window[whole];
    });
  }

  ENCKE_WARP_CODE void WriteExtras(const QuadTokens& quad, const BitWindow& window,
                                   uint32_t position) const {
    LaneBitWriter writer(window, position);
    ENCKE_UNROLL
    for (int i = 0; i < kQuad; ++i) writer.Put(quad.of[i].extra, Extra(quad, i));
    writer.Flush();
  }

  ENCKE_WARP_CODE void WritePlane(const QuadTokens& quad, int plane, const BitWindow& window,
                                  uint32_t position) const {
    LaneBitWriter writer(window, position);
    ENCKE_UNROLL
    for (int i = 0; i < kQuad; ++i) {
      if (IsActive(quad.of[i])) writer.Put(quad.of[i].low >> plane & 1, 1);
    }
    writer.Flush();
  }

  ENCKE_WARP_CODE void StoreCarry() {
    warp_.Each([&](int lane) {
      if (TeamLane(lane) == 0 && blocks_[lane] > 0) {
        scratch_[lane].bits[position_[lane] / 32] = carry_[lane];
      }
    });
  }

  ENCKE_WARP_CODE void CodeTokens() {
    PerLane<uint32_t> groups;
    warp_.Each([&](int lane) {
      groups[lane] = CeilDivide(elements_[lane], kTeamLanes);
      words_[lane] = blocks_[lane] * kBlockElements;
    });
    for (uint32_t left = MostOfTeams(warp_, groups); left > 0; --left) {
      CodeGroup((left - 1) * kTeamLanes);
    }
  }

  // One step of the 16 coders of each team.
  ENCKE_WARP_CODE void CodeGroup(uint32_t group) {
    PerLane<uint32_t> entries;
    PerLane<bool> full;
    warp_.Each([&](int lane) {
      full[lane] = false;
      if (group >= elements_[lane]) return;
      const uint8_t* tokens = scratch_[lane].tokens;
      const TokenField field = {tokens, static_cast<uint32_t>(neighbours_.left),
                                static_cast<uint32_t>(neighbours_.up), tables_.rule};
      const uint32_t token = tokens[group + TeamLane(lane)];
      entries[lane] = tables_.entries[token][field.Context(group, TeamLane(lane))];
      full[lane] = states_[lane] >= Slots(entries[lane]) << (31 - simd::kProbabilityBits);
    });
    const uint32_t all_full = warp_.Ballot(full);
    warp_.Each([&](int lane) {
      if (group >= elements_[lane]) return;
      const uint32_t team_full = TeamBits(all_full, lane);
      words_[lane] -= Popcount(team_full);
      uint32_t state = states_[lane];
      if (full[lane]) {
        const int rank = Popcount(team_full & BitsBelow(TeamLane(lane)));
        scratch_[lane].words[words_[lane] + rank] = static_cast<uint16_t>(state);
        state >>= 16;
      }
      const uint32_t slots = Slots(entries[lane]), quotient = state / slots;
      states_[lane] =
          (quotient << simd::kProbabilityBits) + (state - quotient * slots) + (entries[lane] >> 16);
    });
  }

  ENCKE_WARP_CODE static uint32_t Slots(uint32_t entry) {
    return entry >> 4 & (simd::kProbabilityOne - 1);
  }

  ENCKE_WARP_CODE uint32_t WordCount(int lane) const {
    return blocks_[lane] * kBlockElements - words_[lane];
  }

  ENCKE_WARP_CODE void FindSize() {
    warp_.Each([&](int lane) {
      const uint32_t words = WordCount(lane), escapes = escapes_[lane];
      const uint32_t bit_bytes = (position_[lane] + 7) / 8;
      const uint64_t most = 16 + kTeamLanes * 4 + words * 2 +
                            escapes * (5 + static_cast<uint32_t>(sizeof(T))) + bit_bytes;
      size_[lane] = 0;
      // Without its head a stream has to be shorter than the elements.
      if (escapes > MaxEscapes(lane) || most >= elements_[lane] * sizeof(T)) return;
      list_bytes_[lane] = 0;
      uint32_t next = 0;
      for (uint32_t i = 0; i < escapes; ++i) {
        const uint32_t position = scratch_[lane].escapes[i];
        list_bytes_[lane] += VarintBytes(position - next) + static_cast<uint32_t>(sizeof(T));
        next = position + 1;
      }
      size_[lane] = WordsBegin(lane) + words * 2 + list_bytes_[lane] + bit_bytes;
    });
  }

  // Head, numbers and states.
  ENCKE_WARP_CODE uint32_t WordsBegin(int lane) const {
    return kHeadBytes + VarintBytes(WordCount(lane)) + VarintBytes(escapes_[lane]) + kTeamLanes * 4;
  }

  ENCKE_WARP_CODE void WriteParts(int lane, uint8_t* out) const {
    const uint32_t words_begin = WordsBegin(lane);
    if (TeamLane(lane) == 0) {
      *out = static_cast<uint8_t>(HeadByte::DENSE);
      WriteVarint(escapes_[lane], WriteVarint(WordCount(lane), out + kHeadBytes));
      WriteEscapes(lane, out + words_begin + WordCount(lane) * 2);
    }
    for (int i = 0; i < 4; ++i) {
      out[words_begin - kTeamLanes * 4 + TeamLane(lane) * 4 + i] =
          static_cast<uint8_t>(states_[lane] >> 8 * i);
    }
    const DenseScratch& scratch = scratch_[lane];
    CopyBytes(lane, reinterpret_cast<const uint8_t*>(scratch.words + words_[lane]),
              WordCount(lane) * 2, out + words_begin);
    CopyBytes(lane, reinterpret_cast<const uint8_t*>(scratch.bits), (position_[lane] + 7) / 8,
              out + words_begin + WordCount(lane) * 2 + list_bytes_[lane]);
  }

  ENCKE_WARP_CODE static void CopyBytes(int lane, const uint8_t* from, uint32_t count,
                                        uint8_t* to) {
    for (uint32_t i = TeamLane(lane); i < count; i += kTeamLanes) to[i] = from[i];
  }

  ENCKE_WARP_CODE void WriteEscapes(int lane, uint8_t* out) const {
    uint32_t next = 0;
    for (uint32_t i = 0; i < escapes_[lane]; ++i) {
      const uint32_t position = scratch_[lane].escapes[i];
      out = WriteVarint(position - next, out);
      next = position + 1;
      const uint32_t bits = BitsOf(data_[lane][position]);
      for (size_t k = 0; k < sizeof(T); ++k) *out++ = static_cast<uint8_t>(bits >> 8 * k);
    }
  }

  Warp& warp_;
  simd::DenseNeighbours neighbours_;
  RuleTables<Rule> rules_;
  const DenseTables& tables_;
  DenseEncodeMemory* memory_;
  // The same in all lanes of a team.
  PerLane<const T*> data_;
  PerLane<uint32_t> elements_, blocks_;
  PerLane<DenseScratch> scratch_;
  PerLane<uint32_t> escapes_;     // so far
  PerLane<uint32_t> position_;    // of the raw bits' end
  PerLane<uint32_t> carry_;       // the raw bits' last word
  PerLane<uint32_t> words_;       // first word written
  PerLane<uint32_t> list_bytes_;  // of the escapes
  PerLane<uint32_t> size_;
  // The lane's own.
  PerLane<uint32_t> states_;
  PerLane<LaneSums> sums_;
};

}  // namespace encke::cuda
