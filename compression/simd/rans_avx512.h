// Sixteen rANS coders in one AVX-512 register. Tables are looked up by permuting registers, of 16
// bits where two groups of 16 elements are looked up at once, so no gather is needed.
#pragma once

#include <immintrin.h>

#include "compression/simd/block.h"
#include "compression/simd/contexts_x86.h"
#include "compression/simd/dense_format.h"

namespace encke::simd {
namespace {

class Avx512Rans {
 public:
  using State = __m512i;
  using NarrowContexts = X86Contexts<Bytes128>;
  using WideContexts = X86Contexts<Bytes512>;
  static constexpr int kPutTogether = 4, kGetTogether = 8;
  static constexpr int kGroupsAtOnce = 2;

  explicit Avx512Rans(const DenseTables& tables) : tables_(tables) {
    for (int t = 0; t < kTokens; ++t) {
      const __m512i entry = Entries(t), start = _mm512_srli_epi32(entry, 16);
      const __m512i order =
          _mm512_or_si512(_mm512_slli_epi32(start, kOrderBits), _mm512_set1_epi32(t % kHalf));
      StoreWords(t < tables.tokens ? order : _mm512_set1_epi32(kNoOrder | t % kHalf),
                 rows_[t % kHalf] + (t < kHalf ? kContexts : 0));
      StoreWords(start, starts_ + t * kContexts);
      StoreWords(Slots(entry), slots_ + t * kContexts);
    }
    const __m256i middle = _mm256_load_si256(reinterpret_cast<const __m256i*>(rows_[0]));
    const __m512i both = _mm512_broadcast_i64x4(middle);
    middle_ = _mm512_or_si512(both, _mm512_set1_epi16(kHalf - 1));
  }

  ENCKE_INLINE State Start() { return _mm512_set1_epi32(kStateLow); }
  ENCKE_INLINE bool AtStart(State state) {
    return _mm512_cmpeq_epi32_mask(state, Start()) == 0xffff;
  }
  ENCKE_INLINE void Save(State state, uint8_t* out) { _mm512_storeu_si512(out, state); }
  ENCKE_INLINE State Load(const uint8_t* in) { return _mm512_loadu_si512(in); }

  template <int kGroups, int N>
  __attribute__((always_inline)) void Put(const uint8_t* const (&indexes)[N], State (&states)[N],
                                          uint16_t* (&words)[N]) const {
    __m512i start[N], slots[N];
    Unrolled<N>([&](auto n) __attribute__((always_inline)) {
      const __m512i index = Wide(indexes[n]);
      start[n] = Lookup(starts_, index);
      slots[n] = Lookup(slots_, index);
    });
    if constexpr (kGroups == 2) {
      Unrolled<N>([&](auto n) __attribute__((always_inline)) {
        PutGroup(Words32<1>(start[n]), Words32<1>(slots[n]), &states[n], &words[n]);
      });
    }
    Unrolled<N>([&](auto n) __attribute__((always_inline)) {
      PutGroup(Words32<0>(start[n]), Words32<0>(slots[n]), &states[n], &words[n]);
    });
  }

  template <bool kFar, int N>
  __attribute__((always_inline)) bool Get(const uint8_t* contexts, State (&states)[N],
                                          uint8_t* const (&tokens)[N], const uint8_t* (&words)[N],
                                          const uint8_t* const (&ends)[N]) const {
    bool there = true;
    Unrolled<N / 2>([&](auto pair) __attribute__((always_inline)) {
      constexpr int n = 2 * pair;
      GetTwo(contexts + n * kLanes, &states[n], &states[n + 1], tokens[n], tokens[n + 1]);
    });
    if constexpr (N % 2 == 1) GetOne(contexts + (N - 1) * kLanes, &states[N - 1], tokens[N - 1]);
    Unrolled<N>([&](auto n) __attribute__((always_inline)) {
      there &= Refill<kFar>(&states[n], &words[n], ends[n]);
    });
    return there;
  }

 private:
  static constexpr int kHalf = kTokens / 2, kOrderBits = 3, kNoOrder = 1 << 15;

  ENCKE_INLINE void PutGroup(__m512i start, __m512i slots, State* state, uint16_t** words) {
    const __mmask16 full =
        _mm512_cmpge_epu32_mask(*state, _mm512_slli_epi32(slots, 31 - kProbabilityBits));
    // All lanes are stored, those that count last; the others will be overwritten.
    const int count = Popcount(full);
    const __m512i last = _mm512_add_epi32(Lanes(), _mm512_set1_epi32(count));
    const __m512i out = _mm512_permutexvar_epi32(last, _mm512_maskz_compress_epi32(full, *state));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(*words - kLanes), _mm512_cvtepi32_epi16(out));
    *words -= count;
    const __m512i rest = _mm512_mask_srli_epi32(*state, full, *state, 16);
    *state = _mm512_add_epi32(Requantize(rest, slots), start);
  }

  // The greatest entry that is not above the key is at the least distance: those above wrap
  // around. Four tokens at a time; rows above those in use are far above every key.
  __attribute__((always_inline)) void GetOne(const uint8_t* contexts, State* state,
                                             uint8_t* tokens) const {
    const __m512i context =
        _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(contexts)));
    const __m512i slot = _mm512_and_si512(*state, _mm512_set1_epi32(kProbabilityOne - 1));
    const __m512i key = _mm512_or_si512(_mm512_slli_epi32(slot, 16), _mm512_set1_epi32(0xffff));
    const auto distance = [&](int t) __attribute__((always_inline)) {
      return _mm512_sub_epi32(key, _mm512_permutexvar_epi32(context, Entries(t)));
    };
    __m512i even = distance(0), odd = even;
    for (int t = 1; t < tables_.tokens; t += 4) {
      odd = _mm512_min_epu32(odd, _mm512_min_epu32(distance(t), distance(t + 2)));
      even = _mm512_min_epu32(even, _mm512_min_epu32(distance(t + 1), distance(t + 3)));
    }
    const __m512i entry = _mm512_sub_epi32(key, _mm512_min_epu32(even, odd));
    const __m512i token = _mm512_and_si512(entry, _mm512_set1_epi32(kTokens - 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(tokens), _mm512_cvtepi32_epi8(token));
    *state = Advance(*state, Slots(entry), _mm512_sub_epi32(slot, _mm512_srli_epi32(entry, 16)));
  }

  // The same of two chunks at once, in 16 bits each, a's the even ones. The slot and the tokens'
  // first slots are compared in "orders": first slot << 3 | token % 8, all below 2^15, and
  // kNoOrder | token % 8 for tokens not in use, so that distances have a sign. The order of the
  // middle token tells in which half of the tokens to look. The least distance without a sign is
  // that of the token looked for, the greatest that of the next one, or of the end; their
  // difference the slots.
  __attribute__((always_inline)) void GetTwo(const uint8_t* contexts, State* a, State* b,
                                             uint8_t* tokens_a, uint8_t* tokens_b) const {
    const __m512i context = Wide(contexts);
    const __m512i slots_there =
        _mm512_ternarylogic_epi32(_mm512_set1_epi32(0xffff), _mm512_slli_epi32(*a, kOrderBits),
                                  _mm512_slli_epi32(*b, 16 + kOrderBits), 0xca);  // 1 ? 2 : 3
    const __m512i key = _mm512_ternarylogic_epi32(
        slots_there, _mm512_set1_epi16((kProbabilityOne - 1) << kOrderBits),
        _mm512_set1_epi16(kHalf - 1), 0xea);  // (1 & 2) | 3
    const __m512i beyond = _mm512_sub_epi16(key, _mm512_permutexvar_epi16(context, middle_));
    const __m512i column = _mm512_ternarylogic_epi32(_mm512_srli_epi16(beyond, 11),
                                                     _mm512_set1_epi16(kContexts), context, 0xea);
    __m512i d[kHalf];
#pragma GCC unroll 8
    for (int t = 0; t < kHalf; ++t) {
      const __m512i row = _mm512_load_si512(rows_[t]);
      d[t] = _mm512_sub_epi16(key, _mm512_permutexvar_epi16(column, row));
    }
    const __m512i least = Least(Least(Least(d[0], d[1]), Least(d[2], d[3])),
                                Least(Least(d[4], d[5]), Least(d[6], d[7])));
    const __m512i to_end = _mm512_sub_epi16(key, _mm512_set1_epi16(kNoOrder | (kHalf - 1)));
    const __m512i most = Most(Most(Most(d[1], d[2]), Most(d[3], d[4])),
                              Most(Most(d[5], d[6]), Most(d[7], Most(beyond, to_end))));
    const __m512i slots = _mm512_sub_epi16(least, most);  // << kOrderBits, as the place
    *a = Advance(*a, EvenOf(slots), EvenOf(least));
    *b = Advance(*b, OddOf(slots), OddOf(least));
    // 15 less 8 in the lower half, less what is missing to the last of the half.
    const __m512i before = _mm512_ternarylogic_epi32(_mm512_set1_epi16(kHalf - 1), least,
                                                     _mm512_srli_epi16(beyond, 12), 0xca);
    const __m512i token = _mm512_andnot_si512(before, _mm512_set1_epi16(kTokens - 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(tokens_a), _mm512_cvtepi32_epi8(token));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(tokens_b),
                     _mm512_cvtepi32_epi8(_mm512_srli_epi32(token, 16)));
  }

  ENCKE_INLINE __m512i Least(__m512i a, __m512i b) { return _mm512_min_epu16(a, b); }
  ENCKE_INLINE __m512i Most(__m512i a, __m512i b) { return _mm512_max_epu16(a, b); }

  ENCKE_INLINE __m512i EvenOf(__m512i orders) {
    return _mm512_and_si512(_mm512_srli_epi16(orders, kOrderBits), _mm512_set1_epi32(0xffff));
  }
  ENCKE_INLINE __m512i OddOf(__m512i orders) { return _mm512_srli_epi32(orders, 16 + kOrderBits); }

  ENCKE_INLINE State Advance(State state, __m512i slots, __m512i place) {
    const __m512i high = _mm512_srli_epi32(state, kProbabilityBits);
    return _mm512_add_epi32(_mm512_mullo_epi32(slots, high), place);
  }

  // False when there are not enough words. Far from the end they are loaded before it is known how
  // many will be used.
  template <bool kFar>
  ENCKE_INLINE bool Refill(State* state, const uint8_t** words, const uint8_t* end) {
    const __mmask16 empty = _mm512_cmplt_epu32_mask(*state, _mm512_set1_epi32(kStateLow));
    const int count = Popcount(empty);
    __m256i read;
    if (kFar || end - *words >= 2 * kLanes) {
      read = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(*words));
    } else {
      if (end - *words < 2 * count) return false;
      read = _mm256_maskz_loadu_epi16(static_cast<__mmask16>((1u << count) - 1), *words);
    }
    *words += 2 * count;
    const __m512i spread = _mm512_maskz_expand_epi32(empty, _mm512_cvtepu16_epi32(read));
    *state = _mm512_mask_or_epi32(*state, empty, _mm512_slli_epi32(*state, 16), spread);
    return true;
  }

  // Of 256 words those at the indexes.
  ENCKE_INLINE __m512i Lookup(const uint16_t* table, __m512i index) {
    const auto quarter = [&](int q) __attribute__((always_inline)) {
      return _mm512_permutex2var_epi16(_mm512_load_si512(table + 64 * q), index,
                                       _mm512_load_si512(table + 64 * q + 32));
    };
    const __mmask32 odd = _mm512_test_epi16_mask(index, _mm512_set1_epi16(64));
    const __mmask32 upper = _mm512_test_epi16_mask(index, _mm512_set1_epi16(128));
    const __m512i low = _mm512_mask_mov_epi16(quarter(0), odd, quarter(1));
    const __m512i high = _mm512_mask_mov_epi16(quarter(2), odd, quarter(3));
    return _mm512_mask_mov_epi16(low, upper, high);
  }

  __attribute__((always_inline)) __m512i Entries(int token) const {
    return _mm512_load_si512(tables_.entries[token]);
  }
  ENCKE_INLINE __m512i Slots(__m512i entry) {
    return _mm512_and_si512(_mm512_srli_epi32(entry, 4), _mm512_set1_epi32(kProbabilityOne - 1));
  }
  ENCKE_INLINE __m512i Wide(const uint8_t* bytes) {
    return _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes)));
  }
  template <int kNumber>
  ENCKE_INLINE __m512i Words32(__m512i words) {
    return _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(words, kNumber));
  }
  ENCKE_INLINE void StoreWords(__m512i numbers, uint16_t* out) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(out), _mm512_cvtepi32_epi16(numbers));
  }

  // (x / slots << kProbabilityBits) + x % slots for x < slots * 2^19. The float quotient's relative
  // error is below 2^-22, less than is taken off, and both together are less than 1: the estimate
  // is right or one too small.
  ENCKE_INLINE __m512i Requantize(__m512i x, __m512i slots) {
    const __m512 inverse =
        _mm512_div_ps(_mm512_set1_ps(kQuotientShrink), _mm512_cvtepi32_ps(slots));
    const __m512i estimate = _mm512_cvttps_epi32(_mm512_mul_ps(_mm512_cvtepi32_ps(x), inverse));
    const __m512i rest = _mm512_sub_epi32(x, _mm512_mullo_epi32(estimate, slots));
    const __m512i result = _mm512_add_epi32(_mm512_slli_epi32(estimate, kProbabilityBits), rest);
    const __mmask16 small = _mm512_cmpge_epi32_mask(rest, slots);
    const __m512i correction = _mm512_sub_epi32(_mm512_set1_epi32(kProbabilityOne), slots);
    return _mm512_mask_add_epi32(result, small, result, correction);
  }

  ENCKE_INLINE __m512i Lanes() {
    return _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  }

  const DenseTables& tables_;
  // By token and context: the first slot and the number of slots.
  alignas(64) uint16_t starts_[kTokens * kContexts], slots_[kTokens * kContexts];
  // Orders of GetTwo: of token t + 8 in all contexts, and behind them of token t.
  alignas(64) uint16_t rows_[kHalf][2 * kContexts];
  __m512i middle_;  // first slot << 3 | 7 of token 8, or kNoOrder | 7
};

}  // namespace
}  // namespace encke::simd
