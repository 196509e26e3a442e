// Blocks of the DENSE codec on AVX-512: codes are split as they leave the quantiser, 16 bits each.
#pragma once

#include <immintrin.h>

#include "compression/simd/dense_blocks.h"
#include "compression/simd/ops_avx512.h"

namespace encke::simd {
namespace {

struct Avx512Blocks : public DenseBlocks<Avx512Ops> {
  using Block = Avx512Ops::Numbers;

  template <QuantizerMode kMode, typename T>
  ENCKE_INLINE Block Quantize(const T* x, uint64_t valid, const QuantizerTables& tables,
                              Avx512Ops::Sums* sums) {
    return Avx512Ops::template QuantizeNumbers<kMode>(x, valid, tables, sums);
  }

  template <QuantizerMode kMode>
  ENCKE_INLINE uint64_t Split(const Block& block, const DenseRules& rules, uint8_t* tokens,
                              SplitCodes* split) {
    if constexpr (kMode == QuantizerMode::MASK)
      return SplitMasked(block.half, rules, tokens, split);
    return SplitSigned<kMode>(block.half, rules, tokens, split);
  }

 private:
  // As those of dense_blocks.h.
  ENCKE_INLINE uint64_t SplitMasked(const __m512i* half, const DenseRules& rules, uint8_t* tokens,
                                    SplitCodes* split) {
    __m512i high[2] = {half[0], half[1]};
    if (rules.shift > 0) {
      const __m512i ones = Fill((1 << rules.shift) - 1);
      StoreLow(half, ones, split);
      const __m128i shift = _mm_cvtsi32_si128(rules.shift);
      for (__m512i& h : high) h = _mm512_srl_epi16(_mm512_adds_epu16(h, ones), shift);
    }
    // What does not fit a byte is 256.
    for (__m512i& h : high) h = _mm512_min_epu16(h, Fill(256));
    const __m512i bytes = _mm512_packus_epi16(high[0], high[1]);
    _mm512_store_si512(split->high, bytes);
    __m512i token = _mm512_min_epu8(bytes, FillBytes(kPlainTokens));
    for (int range = kPlainTokens + 1; range < kMaskTokens; ++range) {
      const __mmask64 in = _mm512_cmpge_epu8_mask(bytes, FillBytes(kTokenBase[range]));
      token = _mm512_mask_add_epi8(token, in, token, FillBytes(1));
    }
    _mm512_storeu_si512(tokens, token);
    const __m512i over =
        _mm512_packus_epi16(_mm512_srli_epi16(high[0], 8), _mm512_srli_epi16(high[1], 8));
    return _mm512_test_epi8_mask(over, over) | Avx512Ops::AtLeast(token, rules.tokens);
  }

  template <QuantizerMode kMode>
  ENCKE_INLINE uint64_t SplitSigned(const __m512i* half, const DenseRules& rules, uint8_t* tokens,
                                    SplitCodes* split) {
    __m512i high[2] = {half[0], half[1]};
    if (rules.shift > 0) {
      const __m512i ones = Fill((1 << rules.shift) - 1), zero = Fill(0);
      const __m128i shift = _mm_cvtsi32_si128(rules.shift);
      if constexpr (kMode == QuantizerMode::ACTIVITY) {
        StoreLow(half, ones, split);
        for (__m512i& h : high) {
          const __m512i active = _mm512_adds_epu16(_mm512_max_epi16(h, zero), ones);
          h = _mm512_add_epi16(_mm512_srl_epi16(active, shift), _mm512_min_epi16(h, zero));
        }
      } else {
        const __m512i low =
            _mm512_packus_epi16(_mm512_and_si512(half[0], ones), _mm512_and_si512(half[1], ones));
        _mm512_store_si512(split->low, low);
        for (__m512i& h : high) h = _mm512_sra_epi16(h, shift);
      }
    }
    const __m512i lowest = Fill(rules.lowest), last = Fill(rules.tokens - 1);
    const __m512i least = Fill(HasLowTail(rules.lowest) ? -255 : 0);
    __m512i token[2], above[2], below[2], far[2];
    for (int i = 0; i < 2; ++i) {
      // Saturated where there is no token.
      const __m512i place = _mm512_subs_epi16(high[i], lowest);
      token[i] = _mm512_max_epi16(_mm512_min_epi16(place, last), Fill(0));
      const __m512i beyond = _mm512_subs_epi16(place, token[i]);
      far[i] = _mm512_abs_epi16(beyond);
      // Packing makes 0 of what is below.
      above[i] = _mm512_subs_epi16(beyond, Fill(255));
      below[i] = _mm512_subs_epi16(least, beyond);
    }
    _mm512_storeu_si512(tokens, _mm512_packus_epi16(token[0], token[1]));
    _mm512_store_si512(split->high, _mm512_packus_epi16(far[0], far[1]));
    const __m512i unknown = _mm512_or_si512(_mm512_packus_epi16(above[0], above[1]),
                                            _mm512_packus_epi16(below[0], below[1]));
    return _mm512_test_epi8_mask(unknown, unknown);
  }

  // The bits below active codes, which count from 1.
  ENCKE_INLINE void StoreLow(const __m512i* half, __m512i ones, SplitCodes* split) {
    const __m512i one = Fill(1);
    const __m512i low[2] = {_mm512_and_si512(_mm512_sub_epi16(half[0], one), ones),
                            _mm512_and_si512(_mm512_sub_epi16(half[1], one), ones)};
    _mm512_store_si512(split->low, _mm512_packus_epi16(low[0], low[1]));
  }

  ENCKE_INLINE __m512i Fill(int value) { return _mm512_set1_epi16(static_cast<int16_t>(value)); }
  ENCKE_INLINE __m512i FillBytes(int value) { return _mm512_set1_epi8(static_cast<char>(value)); }
};

}  // namespace
}  // namespace encke::simd
