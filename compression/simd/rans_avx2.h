// Sixteen rANS coders in two AVX2 registers. An entry's 16 contexts are two registers, too: they
// are looked up by permuting both and choosing by the context's top bit.
#pragma once

#include <immintrin.h>

#include "compression/simd/block.h"
#include "compression/simd/contexts_x86.h"
#include "compression/simd/dense_format.h"

namespace encke::simd {
namespace {

class Avx2Rans : public X86Contexts {
 public:
  explicit Avx2Rans(const DenseTables& tables) : tables_(tables) {
    states_[0] = states_[1] = _mm256_set1_epi32(kStateLow);
  }

  __attribute__((always_inline)) void Put(const uint8_t* indexes, uint16_t** words) {
    PutHalf(indexes + 8, &states_[1], words);
    PutHalf(indexes, &states_[0], words);
  }

  __attribute__((always_inline)) bool Get(const uint8_t* contexts, uint8_t* tokens,
                                          const uint8_t** words, const uint8_t* end) {
    return GetHalf(contexts, tokens, &states_[0], words, end) &&
           GetHalf(contexts + 8, tokens + 8, &states_[1], words, end);
  }

  void CopyStates(const Avx2Rans& other) {
    for (int i = 0; i < 2; ++i) states_[i] = other.states_[i];
  }
  void Save(uint8_t* out) const { std::memcpy(out, states_, sizeof(states_)); }
  void Load(const uint8_t* in) { std::memcpy(states_, in, sizeof(states_)); }
  bool AtStart() const {
    const __m256i start = _mm256_set1_epi32(kStateLow);
    const __m256i same = _mm256_and_si256(_mm256_cmpeq_epi32(states_[0], start),
                                          _mm256_cmpeq_epi32(states_[1], start));
    return _mm256_movemask_epi8(same) == -1;
  }

 private:
  __attribute__((always_inline)) void PutHalf(const uint8_t* indexes, __m256i* state,
                                              uint16_t** words) {
    alignas(32) uint32_t entries[8], states[8];
    for (int i = 0; i < 8; ++i) entries[i] = tables_.entries[indexes[i] >> 4][indexes[i] & 15];
    const __m256i entry = _mm256_load_si256(reinterpret_cast<const __m256i*>(entries));
    const __m256i slots = Slots(entry);
    // Both sides are below 2^31, so the signed comparison will do.
    const __m256i room = _mm256_slli_epi32(slots, 31 - kProbabilityBits);
    const __m256i kept = _mm256_cmpgt_epi32(room, *state);
    uint32_t full = ~static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(kept))) & 0xff;
    _mm256_store_si256(reinterpret_cast<__m256i*>(states), *state);
    uint16_t* out = *words -= Popcount(full);
    for (; full != 0; full &= full - 1) {
      *out++ = static_cast<uint16_t>(states[__builtin_ctz(full)]);
    }
    const __m256i x = _mm256_blendv_epi8(_mm256_srli_epi32(*state, 16), *state, kept);
    *state = _mm256_add_epi32(Requantize(x, slots), _mm256_srli_epi32(entry, 16));
  }

  __attribute__((always_inline)) bool GetHalf(const uint8_t* contexts, uint8_t* tokens,
                                              __m256i* state, const uint8_t** words,
                                              const uint8_t* end) {
    const __m256i context =
        _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(contexts)));
    const __m256i upper = _mm256_slli_epi32(context, 28);  // its sign chooses the upper eight
    const __m256i slot = _mm256_and_si256(*state, _mm256_set1_epi32(kProbabilityOne - 1));
    const __m256i key = _mm256_or_si256(_mm256_slli_epi32(slot, 16), _mm256_set1_epi32(0xffff));
    // The greatest entry that is not above the key; entries are positive.
    __m256i entry = Look(0, context, upper);
    for (int t = 1; t < tables_.tokens; ++t) {
      const __m256i next = Look(t, context, upper);
      const __m256i above = _mm256_cmpgt_epi32(next, key);
      entry = _mm256_max_epi32(entry, _mm256_andnot_si256(above, next));
    }
    StoreTokens(_mm256_and_si256(entry, _mm256_set1_epi32(15)), tokens);
    const __m256i high = _mm256_srli_epi32(*state, kProbabilityBits);
    const __m256i offset = _mm256_sub_epi32(slot, _mm256_srli_epi32(entry, 16));
    *state = _mm256_add_epi32(_mm256_mullo_epi32(Slots(entry), high), offset);
    return Refill(state, words, end);
  }

  ENCKE_INLINE bool Refill(__m256i* state, const uint8_t** words, const uint8_t* end) {
    const __m256i low = _mm256_set1_epi32(kStateLow);
    // A state that no encoder wrote may have its top bit set; it is not empty then.
    const __m256i enough = _mm256_cmpeq_epi32(_mm256_max_epu32(*state, low), *state);
    uint32_t empty = ~static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(enough))) & 0xff;
    if (end - *words < 2 * Popcount(empty)) return false;
    alignas(32) uint32_t states[8];
    _mm256_store_si256(reinterpret_cast<__m256i*>(states), *state);
    for (; empty != 0; empty &= empty - 1) {
      uint32_t& x = states[__builtin_ctz(empty)];
      x = x << 16 | ReadWord(words);
    }
    *state = _mm256_load_si256(reinterpret_cast<const __m256i*>(states));
    return true;
  }

  __attribute__((always_inline)) __m256i Look(int token, __m256i context, __m256i upper) const {
    const auto* row = reinterpret_cast<const __m256i*>(tables_.entries[token]);
    const __m256i a = _mm256_permutevar8x32_epi32(_mm256_load_si256(row), context);
    const __m256i b = _mm256_permutevar8x32_epi32(_mm256_load_si256(row + 1), context);
    return _mm256_castps_si256(_mm256_blendv_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b),
                                                _mm256_castsi256_ps(upper)));
  }
  ENCKE_INLINE void StoreTokens(__m256i token, uint8_t* tokens) {
    const __m128i words =
        _mm_packus_epi32(_mm256_castsi256_si128(token), _mm256_extracti128_si256(token, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(tokens), _mm_packus_epi16(words, words));
  }
  ENCKE_INLINE __m256i Slots(__m256i entry) {
    return _mm256_and_si256(_mm256_srli_epi32(entry, 4), _mm256_set1_epi32(kProbabilityOne - 1));
  }
  // As in rans_avx512.h.
  ENCKE_INLINE __m256i Requantize(__m256i x, __m256i slots) {
    const __m256 reduced = _mm256_mul_ps(_mm256_cvtepi32_ps(x), _mm256_set1_ps(kQuotientShrink));
    const __m256i estimate = _mm256_cvttps_epi32(_mm256_div_ps(reduced, _mm256_cvtepi32_ps(slots)));
    const __m256i rest = _mm256_sub_epi32(x, _mm256_mullo_epi32(estimate, slots));
    const __m256i result = _mm256_add_epi32(_mm256_slli_epi32(estimate, kProbabilityBits), rest);
    const __m256i right = _mm256_cmpgt_epi32(slots, rest);
    const __m256i correction = _mm256_sub_epi32(_mm256_set1_epi32(kProbabilityOne), slots);
    return _mm256_add_epi32(result, _mm256_andnot_si256(right, correction));
  }

  const DenseTables& tables_;
  __m256i states_[2];
};

}  // namespace
}  // namespace encke::simd
