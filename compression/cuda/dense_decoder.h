// The DENSE decoder for two chunks and one warp, half a warp each: token by token, and after every
// 64 of them the block's elements.
#pragma once

#include "compression/cuda/dense_token.h"
#include "compression/cuda/fast_decoder.h"

namespace encke::cuda {

struct DenseDecodeJob {
  ByteStream stream;  // of kind DENSE
  int64_t chunk;      // the chunk's first element of its value
  uint32_t elements;  // 0: no chunk
  uint8_t* tokens;  // scratch memory, a byte an element, rounded up to whole blocks; 4-byte aligned
};

template <typename Warp, typename T, typename Rule>
class DenseDecoder {
 public:
  template <typename V>
  using PerLane = typename Warp::template PerLane<V>;

  // As DenseEncoder.
  ENCKE_WARP_CODE DenseDecoder(Warp& warp, const DenseDecodeJob& first,
                               const DenseDecodeJob& second, const simd::DenseShape& shape,
                               const RuleTables<Rule>& rules, const DenseTables& tables,
                               const DecodeTarget<T>& target)
      : warp_(warp),
        neighbours_(simd::NeighboursOf(shape.channels, shape.width)),
        rules_(rules),
        tables_(tables),
        target_(target) {
    warp_.Each([&](int lane) {
      job_[lane] = TeamOf(lane) == 0 ? first : second;
      good_[lane] = job_[lane].elements == 0 || ReadHead(lane);
      if (!good_[lane]) job_[lane].elements = 0;
      blocks_[lane] = DenseBlocks(job_[lane].elements);
    });
  }

  // Whether each lane's chunk was whole; what was not is stored in part or not at all.
  ENCKE_WARP_CODE PerLane<bool> Decode() {
    const uint32_t blocks = MostOfTeams(warp_, blocks_);
    for (uint32_t block = 0; block < blocks; ++block) {
      for (uint32_t group = 0; group < kBlockElements; group += kTeamLanes) {
        DecodeGroup(block * kBlockElements + group);
      }
      StoreBlock(block);
    }
    PerLane<bool> bad;
    warp_.Each([&](int lane) { bad[lane] = !good_[lane] || !EndsWell(lane); });
    const uint32_t all_bad = warp_.Ballot(bad);
    warp_.Each([&](int lane) {
      good_[lane] = TeamBits(all_bad, lane) == 0;
      if (good_[lane] && TeamLane(lane) == 0) StoreEscapes(lane);
    });
    return good_;
  }

 private:
  // Finds the stream's parts, and checks the escapes' list. All lanes of a team do the same.
  ENCKE_WARP_CODE bool ReadHead(int lane) {
    const ByteStream& stream = job_[lane].stream;
    uint32_t at = kHeadBytes, words, escapes;
    if (!ReadVarint(stream, &at, &words) || !ReadVarint(stream, &at, &escapes)) return false;
    if (words > stream.size || escapes > stream.size) return false;
    if (stream.size - at < uint64_t{kTeamLanes * 4} + 2 * uint64_t{words}) return false;
    states_[lane] = 0;
    for (int i = 0; i < 4; ++i) {
      states_[lane] |= stream.Byte(at + TeamLane(lane) * 4 + i) << 8 * i;
    }
    word_[lane] = at + kTeamLanes * 4;
    words_end_[lane] = word_[lane] + 2 * words;
    escapes_[lane] = escapes;
    uint32_t bits = words_end_[lane];
    if (!WalkEscapes(lane, &bits, [](uint32_t, uint32_t) {})) return false;
    position_[lane] = bits * 8;
    return true;
  }

  // Calls visit(element, bits) for each escape; `at` moves from the list's first byte to its end.
  // False when the list is broken.
  template <typename Visit>
  ENCKE_WARP_CODE bool WalkEscapes(int lane, uint32_t* at, const Visit& visit) const {
    const ByteStream& stream = job_[lane].stream;
    uint64_t next = 0;
    for (uint32_t i = 0; i < escapes_[lane]; ++i) {
      uint32_t gap;
      if (!ReadVarint(stream, at, &gap)) return false;
      const uint64_t element = next + gap;
      if (element >= job_[lane].elements || stream.size - *at < sizeof(T)) return false;
      uint32_t bits = 0;
      for (size_t k = 0; k < sizeof(T); ++k) bits |= stream.Byte((*at)++) << 8 * k;
      visit(static_cast<uint32_t>(element), bits);
      next = element + 1;
    }
    return true;
  }

  ENCKE_WARP_CODE void StoreEscapes(int lane) {
    uint32_t at = words_end_[lane];
    WalkEscapes(lane, &at, [&](uint32_t element, uint32_t bits) {
      const int64_t place = job_[lane].chunk + element - target_.first;
      if (place >= 0 && place < target_.end - target_.first) SetBits(bits, target_.data + place);
    });
  }

  // One step of the 16 decoders of each team.
  ENCKE_WARP_CODE void DecodeGroup(uint32_t group) {
    PerLane<bool> low;
    warp_.Each([&](int lane) {
      low[lane] = false;
      if (group >= job_[lane].elements) return;
      const TokenField field = {job_[lane].tokens, static_cast<uint32_t>(neighbours_.left),
                                static_cast<uint32_t>(neighbours_.up), tables_.rule};
      const uint32_t slot = states_[lane] & (simd::kProbabilityOne - 1);
      const uint32_t entry = EntryOf(field.Context(group, TeamLane(lane)), slot);
      job_[lane].tokens[group + TeamLane(lane)] = static_cast<uint8_t>(entry & 15);
      const uint32_t slots = entry >> 4 & (simd::kProbabilityOne - 1);
      states_[lane] = slots * (states_[lane] >> simd::kProbabilityBits) + slot - (entry >> 16);
      low[lane] = states_[lane] < simd::kStateLow;
    });
    const uint32_t all_low = warp_.Ballot(low);
    warp_.Each([&](int lane) {
      if (group >= job_[lane].elements) return;
      const uint32_t team_low = TeamBits(all_low, lane), taken = 2 * Popcount(team_low);
      if (words_end_[lane] - word_[lane] < taken) {
        good_[lane] = false;
        job_[lane].elements = 0;
        return;
      }
      if (low[lane]) {
        const uint32_t at = word_[lane] + 2 * Popcount(team_low & BitsBelow(TeamLane(lane)));
        const ByteStream& stream = job_[lane].stream;
        states_[lane] = states_[lane] << 16 | stream.Byte(at + 1) << 8 | stream.Byte(at);
      }
      word_[lane] += taken;
    });
  }

  // The context's last token that starts at or before `slot`. Rows above those in use are greater
  // than any slot.
  ENCKE_WARP_CODE uint32_t EntryOf(uint32_t context, uint32_t slot) const {
    int token = 0;
    ENCKE_UNROLL
    for (int step = simd::kTokens / 2; step > 0; step /= 2) {
      if (tables_.entries[token + step][context] >> 16 <= slot) token += step;
    }
    return tables_.entries[token][context];
  }

  // A lane's four elements of a block.
  struct QuadTokens {
    uint32_t token[kQuad], extra[kQuad], low[kQuad];
  };

  ENCKE_WARP_CODE void StoreBlock(uint32_t block) {
    PerLane<QuadTokens> quads;
    PerLane<uint32_t> extra, active;
    PerLane<bool> any_raw;
    warp_.Each([&](int lane) {
      extra[lane] = active[lane] = 0;
      if (Has(lane, block)) LoadTokens(lane, block, &quads[lane], &extra[lane], &active[lane]);
      any_raw[lane] = extra[lane] != 0 || (tables_.shift > 0 && active[lane] != 0);
    });
    if (warp_.Ballot(any_raw) != 0) ReadRaw(block, extra, active, &quads);
    PerLane<bool> bad;
    warp_.Each(
        [&](int lane) { bad[lane] = Has(lane, block) && !StoreQuadOf(lane, block, quads[lane]); });
    const uint32_t all_bad = warp_.Ballot(bad);
    warp_.Each([&](int lane) {
      if (TeamBits(all_bad, lane) == 0) return;
      good_[lane] = false;
      job_[lane].elements = 0;
    });
  }

  ENCKE_WARP_CODE bool Has(int lane, uint32_t block) const {
    return block * kBlockElements < job_[lane].elements;
  }

  ENCKE_WARP_CODE void LoadTokens(int lane, uint32_t block, QuadTokens* quad, uint32_t* extra,
                                  uint32_t* active) const {
    const uint32_t begin = block * kBlockElements + TeamLane(lane) * kQuad;
    const uint32_t packed = *reinterpret_cast<const uint32_t*>(job_[lane].tokens + begin);
    const uint32_t decoded = CeilDivide(job_[lane].elements, kTeamLanes) * kTeamLanes;
    ENCKE_UNROLL
    for (int i = 0; i < kQuad; ++i) {
      quad->token[i] = begin + i < decoded ? packed >> 8 * i & 255 : 0;
      quad->extra[i] = quad->low[i] = 0;
      *extra += Extra(lane, begin + i, quad->token[i]);
      *active += IsActive(quad->token[i]);
    }
  }

  ENCKE_WARP_CODE int Extra(int lane, uint32_t element, uint32_t token) const {
    const bool none = Rule::kMode != QuantizerMode::MASK && element >= job_[lane].elements;
    return none ? 0 : ExtraBits<Rule::kMode>(token, tables_);
  }
  ENCKE_WARP_CODE bool IsActive(uint32_t token) const {
    return IsShifted<Rule::kMode>(token, tables_);
  }

  ENCKE_WARP_CODE void ReadRaw(uint32_t block, const PerLane<uint32_t>& extra,
                               const PerLane<uint32_t>& active, PerLane<QuadTokens>* quads) {
    const PerLane<uint32_t> extra_before = warp_.template SumBefore<kTeamLanes>(extra);
    const PerLane<uint32_t> extra_total = warp_.template SumOfGroup<kTeamLanes>(extra);
    const PerLane<uint32_t> active_before = warp_.template SumBefore<kTeamLanes>(active);
    const PerLane<uint32_t> active_total = warp_.template SumOfGroup<kTeamLanes>(active);
    warp_.Each([&](int lane) {
      if (!Has(lane, block)) return;
      const uint32_t begin = block * kBlockElements + TeamLane(lane) * kQuad;
      QuadTokens& quad = (*quads)[lane];
      if (extra[lane] > 0) ReadExtras(lane, begin, position_[lane] + extra_before[lane], &quad);
      for (int plane = 0; plane < tables_.shift; ++plane) {
        ReadPlane(
            lane, plane,
            position_[lane] + extra_total[lane] + plane * active_total[lane] + active_before[lane],
            &quad);
      }
      position_[lane] += extra_total[lane] + tables_.shift * active_total[lane];
    });
  }

  ENCKE_WARP_CODE void ReadExtras(int lane, uint32_t begin, uint32_t position,
                                  QuadTokens* quad) const {
    LaneBitReader reader(job_[lane].stream, position);
    ENCKE_UNROLL
    for (int i = 0; i < kQuad; ++i) {
      const int bits = Extra(lane, begin + i, quad->token[i]);
      quad->extra[i] = static_cast<uint32_t>(reader.Get(bits)) & ((1u << bits) - 1);
    }
  }

  ENCKE_WARP_CODE void ReadPlane(int lane, int plane, uint32_t position, QuadTokens* quad) const {
    LaneBitReader reader(job_[lane].stream, position);
    ENCKE_UNROLL
    for (int i = 0; i < kQuad; ++i) {
      if (IsActive(quad->token[i])) {
        quad->low[i] |= (static_cast<uint32_t>(reader.Get(1)) & 1) << plane;
      }
    }
  }

  ENCKE_WARP_CODE bool StoreQuadOf(int lane, uint32_t block, const QuadTokens& tokens) const {
    if (position_[lane] > job_[lane].stream.size * 8) return false;
    const uint32_t begin = block * kBlockElements + TeamLane(lane) * kQuad;
    const auto rule_tables = DecodeTablesFrom(rules_, rules_.decode()[0], begin);
    Quad<T> quad;
    bool good = true;
    ENCKE_UNROLL
    for (int i = 0; i < kQuad; ++i) {
      uint32_t code;
      good &=
          CodeOfToken<Rule::kMode>(tokens.token[i], tokens.extra[i], tokens.low[i], tables_, &code);
      Narrow(Dequantize<Rule>(code, rule_tables[i]), quad.x + i);
    }
    const DenseDecodeJob& job = job_[lane];
    const int64_t end = Least(target_.end, job.chunk + job.elements);
    if (good) {
      StoreQuad(quad, job.chunk + begin - target_.first, end - target_.first, target_.data);
    }
    return good;
  }

  // All words and bits were used, and the coders are back where the encoder's started.
  ENCKE_WARP_CODE bool EndsWell(int lane) const {
    const DenseDecodeJob& job = job_[lane];
    if (job.elements == 0) return true;
    return word_[lane] == words_end_[lane] && states_[lane] == simd::kStateLow &&
           position_[lane] <= job.stream.size * 8 && job.stream.size * 8 - position_[lane] < 8;
  }

  Warp& warp_;
  simd::DenseNeighbours neighbours_;
  RuleTables<Rule> rules_;
  const DenseTables& tables_;
  DecodeTarget<T> target_;
  // The same in all lanes of a team.
  PerLane<DenseDecodeJob> job_;
  PerLane<uint32_t> blocks_;
  PerLane<uint32_t> word_, words_end_;  // bytes of the stream
  PerLane<uint32_t> position_;          // bit of the stream, of the raw bits
  PerLane<uint32_t> escapes_;
  PerLane<bool> good_;
  // The lane's own.
  PerLane<uint32_t> states_;
};

}  // namespace encke::cuda
