// Sixteen rANS coders in two AVX2 registers. A token's first slots in the 16 contexts are looked up
// as bytes, low and high, by shuffling one register each, of two tokens at a time; compared and
// subtracted are 16 bits.
#pragma once

#include <immintrin.h>

#include "compression/simd/block.h"
#include "compression/simd/contexts_x86.h"
#include "compression/simd/dense_format.h"

namespace encke::simd {
namespace {

// By mask of eight lanes, what spreads consecutive words over the set lanes, and what moves the set
// lanes together, at the upper end.
struct LaneMoves {
  alignas(64) uint8_t spread[256][8] = {}, gather[256][8] = {};

  constexpr LaneMoves() {
    for (int mask = 0; mask < 256; ++mask) {
      int count = 0;
      for (int lane = 0; lane < 8; ++lane) {
        spread[mask][lane] = static_cast<uint8_t>(count);
        count += mask >> lane & 1;
      }
      int to = 8 - count;
      for (int lane = 0; lane < 8; ++lane) {
        if ((mask >> lane & 1) != 0) gather[mask][to++] = static_cast<uint8_t>(lane);
      }
    }
  }
};
constexpr LaneMoves kLaneMoves;

class Avx2Rans {
 public:
  struct State {
    __m256i half[2];
  };
  using NarrowContexts = X86Contexts<Bytes128>;
  using WideContexts = NarrowContexts;
  static constexpr int kPutTogether = 1, kGetTogether = 1;
  static constexpr int kGroupsAtOnce = 1;

  explicit Avx2Rans(const DenseTables& tables) : tables_(tables) {
    for (int t = 0; t < Rows(); ++t) {
      const auto* row = reinterpret_cast<const __m256i*>(tables_.entries[t]);
      const __m256i starts = _mm256_permute4x64_epi64(
          _mm256_packus_epi32(_mm256_srli_epi32(_mm256_load_si256(row), 16),
                              _mm256_srli_epi32(_mm256_load_si256(row + 1), 16)),
          0xd8);
      Store(Narrow(_mm256_and_si256(starts, _mm256_set1_epi16(255))), low_[t]);
      Store(Narrow(_mm256_srli_epi16(starts, 8)), high_[t]);
    }
  }

  ENCKE_INLINE State Start() {
    const __m256i start = _mm256_set1_epi32(kStateLow);
    return {{start, start}};
  }
  ENCKE_INLINE bool AtStart(const State& state) {
    const __m256i start = _mm256_set1_epi32(kStateLow);
    const __m256i same = _mm256_and_si256(_mm256_cmpeq_epi32(state.half[0], start),
                                          _mm256_cmpeq_epi32(state.half[1], start));
    return _mm256_movemask_epi8(same) == -1;
  }
  ENCKE_INLINE void Save(const State& state, uint8_t* out) {
    std::memcpy(out, &state, sizeof(state));
  }
  ENCKE_INLINE State Load(const uint8_t* in) {
    State state;
    std::memcpy(&state, in, sizeof(state));
    return state;
  }

  template <int kGroups, int N>
  __attribute__((always_inline)) void Put(const uint8_t* const (&indexes)[N], State (&states)[N],
                                          uint16_t* (&words)[N]) const {
    static_assert(N == 1 && kGroups == 1);
    PutHalf(indexes[0] + 8, &states[0].half[1], &words[0]);
    PutHalf(indexes[0], &states[0].half[0], &words[0]);
  }

  template <bool kFar, int N>
  __attribute__((always_inline)) bool Get(const uint8_t* contexts, State (&states)[N],
                                          uint8_t* const (&tokens)[N], const uint8_t* (&words)[N],
                                          const uint8_t* const (&ends)[N]) const {
    static_assert(N == 1);
    __m256i(&half)[2] = states[0].half;
    const __m256i mask = _mm256_set1_epi32(kProbabilityOne - 1);
    // 16 bits each; in both halves the lanes 0 to 7, and 8 to 15.
    const __m256i slots = _mm256_permute4x64_epi64(
        _mm256_packus_epi32(_mm256_and_si256(half[0], mask), _mm256_and_si256(half[1], mask)),
        0xd8);
    const Search found = SearchAll(contexts, _mm256_permute2x128_si256(slots, slots, 0x00),
                                   _mm256_permute2x128_si256(slots, slots, 0x11));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(tokens[0]), found.tokens);
    for (int i = 0; i < 2; ++i) {
      const __m256i high = _mm256_srli_epi32(half[i], kProbabilityBits);
      half[i] =
          _mm256_add_epi32(_mm256_mullo_epi32(Wide(found.slots[i]), high), Wide(found.offsets[i]));
    }
    return Refill<kFar>(&half[0], &words[0], ends[0]) && Refill<kFar>(&half[1], &words[0], ends[0]);
  }

 private:
  __attribute__((always_inline)) void PutHalf(const uint8_t* indexes, __m256i* state,
                                              uint16_t** words) const {
    const __m256i entry = _mm256_i32gather_epi32(reinterpret_cast<const int*>(tables_.entries),
                                                 Bytes(indexes), sizeof(uint32_t));
    const __m256i slots = Slots(entry);
    // Both sides are below 2^31, so the signed comparison will do.
    const __m256i room = _mm256_slli_epi32(slots, 31 - kProbabilityBits);
    const __m256i kept = _mm256_cmpgt_epi32(room, *state);
    const uint32_t full =
        ~static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(kept))) & 0xff;
    const __m256i low = _mm256_and_si256(*state, _mm256_set1_epi32(0xffff));
    const __m256i out = _mm256_permutevar8x32_epi32(low, Bytes(kLaneMoves.gather[full]));
    // Eight words, of which those below the ones that count will be overwritten.
    _mm_storeu_si128(
        reinterpret_cast<__m128i*>(*words - 8),
        _mm_packus_epi32(_mm256_castsi256_si128(out), _mm256_extracti128_si256(out, 1)));
    *words -= Popcount(full);
    const __m256i x = _mm256_blendv_epi8(_mm256_srli_epi32(*state, 16), *state, kept);
    *state = _mm256_add_epi32(Requantize(x, slots), _mm256_srli_epi32(entry, 16));
  }

  struct Search {
    __m128i tokens;                // 16 bytes
    __m128i slots[2], offsets[2];  // of the tokens, and in them; 8 x 16 bits each
  };

  // An even number of tokens; the last one may have no slots.
  int Rows() const { return (tables_.tokens + 1) & ~1; }

  // With u = slot - start for each token's first slot, a token that begins at or before the slot
  // has u >= 0, and the last such one the least; that of the next token is the greatest of what,
  // below 0, are large numbers without a sign.
  __attribute__((always_inline)) Search SearchAll(const uint8_t* contexts, __m256i slot_a,
                                                  __m256i slot_b) const {
    const __m256i context =
        _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(contexts)));
    const __m256i one = _mm256_set1_epi16(kProbabilityOne);
    __m256i least_a = _mm256_set1_epi16(-1), least_b = least_a;
    __m256i most_a = _mm256_sub_epi16(slot_a, one), most_b = _mm256_sub_epi16(slot_b, one);
    __m256i behind = _mm256_setzero_si256();  // minus the number of tokens that begin later
    for (int t = 0; t < Rows(); t += 2) {
      const __m256i low = _mm256_shuffle_epi8(Row(low_[t]), context);
      const __m256i high = _mm256_shuffle_epi8(Row(high_[t]), context);
      const __m256i u_a = _mm256_sub_epi16(slot_a, _mm256_unpacklo_epi8(low, high));
      const __m256i u_b = _mm256_sub_epi16(slot_b, _mm256_unpackhi_epi8(low, high));
      least_a = _mm256_min_epu16(least_a, u_a);
      least_b = _mm256_min_epu16(least_b, u_b);
      most_a = _mm256_max_epu16(most_a, u_a);
      most_b = _mm256_max_epu16(most_b, u_b);
      const __m256i signs = _mm256_packs_epi16(u_a, u_b);
      behind = _mm256_add_epi8(behind, _mm256_cmpgt_epi8(_mm256_setzero_si256(), signs));
    }
    Search found;
    found.tokens = _mm_add_epi8(
        _mm_set1_epi8(static_cast<char>(Rows() - 1)),
        _mm_add_epi8(_mm256_castsi256_si128(behind), _mm256_extracti128_si256(behind, 1)));
    const __m256i least[2] = {least_a, least_b}, most[2] = {most_a, most_b};
    for (int i = 0; i < 2; ++i) {
      found.offsets[i] =
          _mm_min_epu16(_mm256_castsi256_si128(least[i]), _mm256_extracti128_si256(least[i], 1));
      found.slots[i] = _mm_sub_epi16(
          found.offsets[i],
          _mm_max_epu16(_mm256_castsi256_si128(most[i]), _mm256_extracti128_si256(most[i], 1)));
    }
    return found;
  }

  template <bool kFar>
  ENCKE_INLINE bool Refill(__m256i* state, const uint8_t** words, const uint8_t* end) {
    const __m256i low = _mm256_set1_epi32(kStateLow);
    // A state that no encoder wrote may have its top bit set; it is not empty then.
    const __m256i enough = _mm256_cmpeq_epi32(_mm256_max_epu32(*state, low), *state);
    uint32_t empty = ~static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(enough))) & 0xff;
    const int count = Popcount(empty);
    // Far from the end words are loaded before it is known how many will be used.
    if (kFar || end - *words >= 16) {
      const __m128i read = _mm_loadu_si128(reinterpret_cast<const __m128i*>(*words));
      *words += 2 * count;
      const __m256i spread =
          _mm256_permutevar8x32_epi32(_mm256_cvtepu16_epi32(read), Bytes(kLaneMoves.spread[empty]));
      const __m256i refilled = _mm256_or_si256(_mm256_slli_epi32(*state, 16), spread);
      *state = _mm256_blendv_epi8(refilled, *state, enough);
      return true;
    }
    if (end - *words < 2 * count) return false;
    alignas(32) uint32_t states[8];
    _mm256_store_si256(reinterpret_cast<__m256i*>(states), *state);
    for (; empty != 0; empty &= empty - 1) {
      uint32_t& x = states[__builtin_ctz(empty)];
      x = x << 16 | ReadWord(words);
    }
    *state = _mm256_load_si256(reinterpret_cast<const __m256i*>(states));
    return true;
  }

  ENCKE_INLINE __m256i Row(const uint8_t* row) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(row));
  }
  ENCKE_INLINE void Store(__m128i bytes, uint8_t* out) {
    _mm_store_si128(reinterpret_cast<__m128i*>(out), bytes);
  }
  // 16 x 16 bits, below 256, to bytes.
  ENCKE_INLINE __m128i Narrow(__m256i x) {
    return _mm_packus_epi16(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
  }
  ENCKE_INLINE __m256i Wide(__m128i x) { return _mm256_cvtepu16_epi32(x); }
  ENCKE_INLINE __m256i Bytes(const uint8_t* bytes) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes)));
  }
  ENCKE_INLINE __m256i Slots(__m256i entry) {
    return _mm256_and_si256(_mm256_srli_epi32(entry, 4), _mm256_set1_epi32(kProbabilityOne - 1));
  }
  // As in rans_avx512.h.
  ENCKE_INLINE __m256i Requantize(__m256i x, __m256i slots) {
    const __m256 inverse =
        _mm256_div_ps(_mm256_set1_ps(kQuotientShrink), _mm256_cvtepi32_ps(slots));
    const __m256i estimate = _mm256_cvttps_epi32(_mm256_mul_ps(_mm256_cvtepi32_ps(x), inverse));
    const __m256i rest = _mm256_sub_epi32(x, _mm256_mullo_epi32(estimate, slots));
    const __m256i result = _mm256_add_epi32(_mm256_slli_epi32(estimate, kProbabilityBits), rest);
    const __m256i right = _mm256_cmpgt_epi32(slots, rest);
    const __m256i correction = _mm256_sub_epi32(_mm256_set1_epi32(kProbabilityOne), slots);
    return _mm256_add_epi32(result, _mm256_andnot_si256(right, correction));
  }

  const DenseTables& tables_;
  // Of each token's first slot in the 16 contexts.
  alignas(32) uint8_t low_[kTokens][kContexts], high_[kTokens][kContexts];
};

}  // namespace
}  // namespace encke::simd
