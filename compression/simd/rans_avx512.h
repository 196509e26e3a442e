// Sixteen rANS coders in one AVX-512 register. Tables are looked up by permuting: an entry's 16
// contexts are one register, so no gather is needed.
#pragma once

#include <immintrin.h>

#include "compression/simd/block.h"
#include "compression/simd/contexts_x86.h"
#include "compression/simd/dense_format.h"

namespace encke::simd {
namespace {

class Avx512Rans : public X86Contexts {
 public:
  // Whether two chunks at a time are faster than one after the other.
  static constexpr bool kTogether = true;

  explicit Avx512Rans(const DenseTables& tables)
      : tables_(tables), states_(_mm512_set1_epi32(kStateLow)) {}

  __attribute__((always_inline)) void Put(const uint8_t* indexes, uint16_t** words) {
    const __m512i index = Bytes(indexes);
    // Two tokens' entries at a time: the index' bit 4 chooses between them.
    const __m512i pair = _mm512_srli_epi32(index, 5);
    __m512i entry = _mm512_permutex2var_epi32(Entries(0), index, Entries(1));
    for (int t = 2; t < tables_.tokens; t += 2) {
      const __m512i either = _mm512_permutex2var_epi32(Entries(t), index, Entries(t + 1));
      const __mmask16 is = _mm512_cmpeq_epi32_mask(pair, _mm512_set1_epi32(t / 2));
      entry = _mm512_mask_mov_epi32(entry, is, either);
    }
    const __m512i start = _mm512_srli_epi32(entry, 16);
    const __m512i slots = Slots(entry);
    const __mmask16 full =
        _mm512_cmpge_epu32_mask(states_, _mm512_slli_epi32(slots, 31 - kProbabilityBits));
    const int count = Popcount(full);
    *words -= count;
    const __m256i low = _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(full, states_));
    _mm256_mask_storeu_epi16(*words, static_cast<__mmask16>((1u << count) - 1), low);
    states_ = _mm512_mask_srli_epi32(states_, full, states_, 16);
    states_ = _mm512_add_epi32(Requantize(states_, slots), start);
  }

  __attribute__((always_inline)) bool Get(const uint8_t* contexts, uint8_t* tokens,
                                          const uint8_t** words, const uint8_t* end) {
    const __m512i context = Bytes(contexts);
    const __m512i slot = _mm512_and_si512(states_, _mm512_set1_epi32(kProbabilityOne - 1));
    const __m512i key = _mm512_or_si512(_mm512_slli_epi32(slot, 16), _mm512_set1_epi32(0xffff));
    // The greatest entry that is not above the key is the least distance: those above wrap around.
    // Four tokens at a time; rows above those in use are far above every key.
    const auto distance = [&](int t) __attribute__((always_inline)) {
      return _mm512_sub_epi32(key, _mm512_permutexvar_epi32(context, Entries(t)));
    };
    __m512i even = distance(0), odd = even;
    for (int t = 1; t < tables_.tokens; t += 4) {
      odd = _mm512_min_epu32(odd, _mm512_min_epu32(distance(t), distance(t + 2)));
      even = _mm512_min_epu32(even, _mm512_min_epu32(distance(t + 1), distance(t + 3)));
    }
    const __m512i entry = _mm512_sub_epi32(key, _mm512_min_epu32(even, odd));
    const __m512i token = _mm512_and_si512(entry, _mm512_set1_epi32(15));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(tokens), _mm512_cvtepi32_epi8(token));
    const __m512i high = _mm512_srli_epi32(states_, kProbabilityBits);
    const __m512i offset = _mm512_sub_epi32(slot, _mm512_srli_epi32(entry, 16));
    states_ = _mm512_add_epi32(_mm512_mullo_epi32(Slots(entry), high), offset);
    const __mmask16 empty = _mm512_cmplt_epu32_mask(states_, _mm512_set1_epi32(kStateLow));
    const int count = Popcount(empty);
    // Far from the end the words are loaded before it is known how many will be used.
    __m256i read;
    if (__builtin_expect(end - *words >= 2 * kLanes, 1)) {
      read = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(*words));
    } else {
      if (end - *words < 2 * count) return false;
      read = _mm256_maskz_loadu_epi16(static_cast<__mmask16>((1u << count) - 1), *words);
    }
    *words += 2 * count;
    const __m512i spread = _mm512_maskz_expand_epi32(empty, _mm512_cvtepu16_epi32(read));
    states_ = _mm512_mask_or_epi32(states_, empty, _mm512_slli_epi32(states_, 16), spread);
    return true;
  }

  void CopyStates(const Avx512Rans& other) { states_ = other.states_; }
  void Save(uint8_t* out) const { _mm512_storeu_si512(out, states_); }
  void Load(const uint8_t* in) { states_ = _mm512_loadu_si512(in); }
  bool AtStart() const {
    return _mm512_cmpeq_epi32_mask(states_, _mm512_set1_epi32(kStateLow)) == 0xffff;
  }

 private:
  __attribute__((always_inline)) __m512i Entries(int token) const {
    return _mm512_load_si512(tables_.entries[token]);
  }
  ENCKE_INLINE __m512i Bytes(const uint8_t* bytes) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)));
  }
  ENCKE_INLINE __m512i Slots(__m512i entry) {
    return _mm512_and_si512(_mm512_srli_epi32(entry, 4), _mm512_set1_epi32(kProbabilityOne - 1));
  }
  // (x / slots << kProbabilityBits) + x % slots for x < slots * 2^19. The float quotient's relative
  // error is below 2^-22, less than is taken off before, and both together are less than 1: the
  // estimate is right or one too small.
  ENCKE_INLINE __m512i Requantize(__m512i x, __m512i slots) {
    const __m512 reduced = _mm512_mul_ps(_mm512_cvtepi32_ps(x), _mm512_set1_ps(kQuotientShrink));
    const __m512i estimate = _mm512_cvttps_epi32(_mm512_div_ps(reduced, _mm512_cvtepi32_ps(slots)));
    const __m512i rest = _mm512_sub_epi32(x, _mm512_mullo_epi32(estimate, slots));
    const __m512i result = _mm512_add_epi32(_mm512_slli_epi32(estimate, kProbabilityBits), rest);
    const __mmask16 small = _mm512_cmpge_epi32_mask(rest, slots);
    const __m512i correction = _mm512_sub_epi32(_mm512_set1_epi32(kProbabilityOne), slots);
    return _mm512_mask_add_epi32(result, small, result, correction);
  }

  const DenseTables& tables_;
  __m512i states_;
};

}  // namespace
}  // namespace encke::simd
