// Contexts of 16 elements from their neighbours' tokens, in one 128-bit register.
#pragma once

#include <immintrin.h>

#include "compression/simd/dense_format.h"

namespace encke::simd {
namespace {

struct X86Contexts {
  ENCKE_INLINE void Contexts(const TokenNeighbours& near, const ContextRule& rule,
                             uint8_t* contexts) {
    Store(contexts, ContextsOf(near, rule));
  }

  // Context | token << 4.
  ENCKE_INLINE void Indexes(const uint8_t* tokens, const TokenNeighbours& near,
                            const ContextRule& rule, uint8_t* indexes) {
    // Tokens are below 16: nothing is shifted into the next byte.
    const __m128i high = _mm_slli_epi16(Load(tokens), 4);
    Store(indexes, _mm_or_si128(ContextsOf(near, rule), high));
  }

 private:
  ENCKE_INLINE __m128i Load(const uint8_t* bytes) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
  }
  ENCKE_INLINE void Store(uint8_t* bytes, __m128i value) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(bytes), value);
  }
  ENCKE_INLINE __m128i Fill(int value) { return _mm_set1_epi8(static_cast<char>(value)); }
  ENCKE_INLINE __m128i Distance(__m128i a, __m128i b) {
    return _mm_or_si128(_mm_subs_epu8(a, b), _mm_subs_epu8(b, a));
  }
  ENCKE_INLINE __m128i ClassOf(__m128i token, const ContextRule& rule) {
    return _mm_min_epu8(_mm_subs_epu8(token, Fill(BelowZero(rule))), Fill(kPairClasses - 1));
  }
  ENCKE_INLINE __m128i ContextsOf(const TokenNeighbours& near, const ContextRule& rule) {
    const __m128i a = Load(near.left), b = Load(near.up);
    if (rule.kind == ContextKind::MEDIAN) {
      // Tokens are below 16: nothing overflows.
      const __m128i plane = _mm_sub_epi8(_mm_add_epi8(a, b), Load(near.corner));
      return _mm_max_epi8(_mm_min_epi8(plane, _mm_max_epi8(a, b)), _mm_min_epi8(a, b));
    }
    if (rule.kind == ContextKind::PAIR) {
      return _mm_or_si128(_mm_slli_epi16(ClassOf(a, rule), 2), ClassOf(b, rule));
    }
    if (rule.kind == ContextKind::MEAN) return _mm_avg_epu8(a, b);
    const __m128i zero = Fill(rule.zero);
    return _mm_min_epu8(_mm_add_epi8(Distance(a, zero), Distance(b, zero)), Fill(kContexts - 1));
  }
};

}  // namespace
}  // namespace encke::simd
