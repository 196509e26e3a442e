// Contexts of several elements from their neighbours' tokens, a byte each, in one register.
#pragma once

#include <immintrin.h>

#include "compression/simd/dense_format.h"

namespace encke::simd {
namespace {

struct Bytes128 {
  using Vector = __m128i;
  static constexpr int kBytes = 16;

  ENCKE_INLINE Vector Load(const uint8_t* in) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(in));
  }
  // Each group of 16 so much further than the one before.
  ENCKE_INLINE void Store(Vector a, uint8_t* out, int64_t /*stride*/) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), a);
  }
  // Pairs of the first eight elements of each group, and of the others.
  ENCKE_INLINE Vector FirstPairs(Vector a, Vector b) { return _mm_unpacklo_epi8(a, b); }
  ENCKE_INLINE Vector LastPairs(Vector a, Vector b) { return _mm_unpackhi_epi8(a, b); }
  ENCKE_INLINE Vector Fill(int value) { return _mm_set1_epi8(static_cast<char>(value)); }
  ENCKE_INLINE Vector Or(Vector a, Vector b) { return _mm_or_si128(a, b); }
  ENCKE_INLINE Vector Add(Vector a, Vector b) { return _mm_add_epi8(a, b); }
  ENCKE_INLINE Vector Sub(Vector a, Vector b) { return _mm_sub_epi8(a, b); }
  // Without a sign, not below 0.
  ENCKE_INLINE Vector Minus(Vector a, Vector b) { return _mm_subs_epu8(a, b); }
  ENCKE_INLINE Vector Min(Vector a, Vector b) { return _mm_min_epu8(a, b); }
  ENCKE_INLINE Vector SignedMin(Vector a, Vector b) { return _mm_min_epi8(a, b); }
  ENCKE_INLINE Vector SignedMax(Vector a, Vector b) { return _mm_max_epi8(a, b); }
  ENCKE_INLINE Vector Mean(Vector a, Vector b) { return _mm_avg_epu8(a, b); }
  template <int kBits>
  ENCKE_INLINE Vector ShiftLeft(Vector a) {  // across bytes
    return _mm_slli_epi16(a, kBits);
  }
};

#ifdef __AVX512BW__
struct Bytes512 {
  using Vector = __m512i;
  static constexpr int kBytes = 64;

  ENCKE_INLINE Vector Load(const uint8_t* in) { return _mm512_loadu_si512(in); }
  ENCKE_INLINE void Store(Vector a, uint8_t* out, int64_t stride) {
    const auto at = [&](int group) { return reinterpret_cast<__m128i*>(out + group * stride); };
    _mm_storeu_si128(at(0), _mm512_castsi512_si128(a));
    _mm_storeu_si128(at(1), _mm512_extracti32x4_epi32(a, 1));
    _mm_storeu_si128(at(2), _mm512_extracti32x4_epi32(a, 2));
    _mm_storeu_si128(at(3), _mm512_extracti32x4_epi32(a, 3));
  }
  ENCKE_INLINE Vector FirstPairs(Vector a, Vector b) { return _mm512_unpacklo_epi8(a, b); }
  ENCKE_INLINE Vector LastPairs(Vector a, Vector b) { return _mm512_unpackhi_epi8(a, b); }
  ENCKE_INLINE Vector Fill(int value) { return _mm512_set1_epi8(static_cast<char>(value)); }
  ENCKE_INLINE Vector Or(Vector a, Vector b) { return _mm512_or_si512(a, b); }
  ENCKE_INLINE Vector Add(Vector a, Vector b) { return _mm512_add_epi8(a, b); }
  ENCKE_INLINE Vector Sub(Vector a, Vector b) { return _mm512_sub_epi8(a, b); }
  ENCKE_INLINE Vector Minus(Vector a, Vector b) { return _mm512_subs_epu8(a, b); }
  ENCKE_INLINE Vector Min(Vector a, Vector b) { return _mm512_min_epu8(a, b); }
  ENCKE_INLINE Vector SignedMin(Vector a, Vector b) { return _mm512_min_epi8(a, b); }
  ENCKE_INLINE Vector SignedMax(Vector a, Vector b) { return _mm512_max_epi8(a, b); }
  ENCKE_INLINE Vector Mean(Vector a, Vector b) { return _mm512_avg_epu8(a, b); }
  template <int kBits>
  ENCKE_INLINE Vector ShiftLeft(Vector a) {
    return _mm512_slli_epi16(a, kBits);
  }
};
#endif

template <typename Bytes>
struct X86Contexts {
  static constexpr int kElements = Bytes::kBytes;
  using Vector = typename Bytes::Vector;

  // Of kElements in each of N chunks: group by group, in a group pairs of chunks, element by
  // element, and at last what is left over.
  template <int N>
  ENCKE_INLINE void Contexts(const TokenNeighbours (&near)[N], const ContextRule& rule,
                             uint8_t* contexts) {
    constexpr int64_t kStride = N * kLanes;
#pragma GCC unroll 8
    for (int n = 0; n + 2 <= N; n += 2) {
      const Vector a = ContextsOf(near[n], rule), b = ContextsOf(near[n + 1], rule);
      Bytes::Store(Bytes::FirstPairs(a, b), contexts + n * kLanes, kStride);
      Bytes::Store(Bytes::LastPairs(a, b), contexts + (n + 1) * kLanes, kStride);
    }
    if constexpr (N % 2 == 1) {
      Bytes::Store(ContextsOf(near[N - 1], rule), contexts + (N - 1) * kLanes, kStride);
    }
  }

  // Context | token << 4.
  ENCKE_INLINE void Indexes(const uint8_t* tokens, const TokenNeighbours& near,
                            const ContextRule& rule, uint8_t* indexes) {
    // Tokens are below 16: nothing is shifted into the next byte.
    const Vector high = Bytes::template ShiftLeft<4>(Bytes::Load(tokens));
    Bytes::Store(Bytes::Or(ContextsOf(near, rule), high), indexes, kLanes);
  }

 private:
  ENCKE_INLINE Vector Distance(Vector a, Vector b) {
    return Bytes::Or(Bytes::Minus(a, b), Bytes::Minus(b, a));
  }
  ENCKE_INLINE Vector ClassOf(Vector token, const ContextRule& rule) {
    return Bytes::Min(Bytes::Minus(token, Bytes::Fill(BelowZero(rule))),
                      Bytes::Fill(kPairClasses - 1));
  }
  ENCKE_INLINE Vector ContextsOf(const TokenNeighbours& near, const ContextRule& rule) {
    const Vector a = Bytes::Load(near.left), b = Bytes::Load(near.up);
    if (rule.kind == ContextKind::MEDIAN) {
      // Tokens are below 16: nothing overflows.
      const Vector plane = Bytes::Sub(Bytes::Add(a, b), Bytes::Load(near.corner));
      return Bytes::SignedMax(Bytes::SignedMin(plane, Bytes::SignedMax(a, b)),
                              Bytes::SignedMin(a, b));
    }
    if (rule.kind == ContextKind::PAIR) {
      return Bytes::Or(Bytes::template ShiftLeft<2>(ClassOf(a, rule)), ClassOf(b, rule));
    }
    if (rule.kind == ContextKind::MEAN) return Bytes::Mean(a, b);
    const Vector zero = Bytes::Fill(rule.zero);
    return Bytes::Min(Bytes::Add(Distance(a, zero), Distance(b, zero)), Bytes::Fill(kContexts - 1));
  }
};

}  // namespace
}  // namespace encke::simd
