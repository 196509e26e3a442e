// Block operations on AVX-512: a block of codes is one register, a plane of bits one mask.
#pragma once

#include <immintrin.h>

#include "compression/simd/block.h"

namespace encke::simd {
namespace {

struct Avx512Ops {
  using Codes = __m512i;

  struct Quantized {
    Codes low, high;
    uint64_t escapes;
    bool wide;
  };

  struct Sums {
    __m512d squares[2] = {_mm512_setzero_pd(), _mm512_setzero_pd()};
    int64_t nonzero = 0, escapes = 0;

    void AddTo(ChunkSums* sums) const {
      double lanes[kSumLanes];
      _mm512_storeu_pd(lanes, squares[0]);
      _mm512_storeu_pd(lanes + 8, squares[1]);
      for (double s : lanes) sums->squares += s;
      sums->nonzero += nonzero;
      sums->escapes += escapes;
    }
  };

  ENCKE_INLINE Codes Zero() { return _mm512_setzero_si512(); }

  ENCKE_INLINE Codes LoadCodes(const uint8_t* in) { return _mm512_loadu_si512(in); }
  ENCKE_INLINE void StoreCodes(Codes codes, uint8_t* out) { _mm512_storeu_si512(out, codes); }

  ENCKE_INLINE uint64_t AtLeast(Codes codes, int least) {
    return _mm512_cmpge_epu8_mask(codes, _mm512_set1_epi8(static_cast<char>(least)));
  }

  ENCKE_INLINE Codes Lookup(const uint8_t* table, Codes codes) {
    const __m128i entries = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(entries), codes);
  }

  ENCKE_INLINE uint64_t Plane(Codes codes, int plane) {
    return _mm512_test_epi8_mask(codes, _mm512_set1_epi8(static_cast<char>(1 << plane)));
  }

  ENCKE_INLINE uint32_t SumShifted(Codes codes, int shift) {
    const Codes shifted = _mm512_and_si512(_mm512_srl_epi16(codes, _mm_cvtsi32_si128(shift)),
                                           _mm512_set1_epi8(static_cast<char>(0xff >> shift)));
    return static_cast<uint32_t>(_mm512_reduce_add_epi64(_mm512_sad_epu8(shifted, Zero())));
  }

  ENCKE_INLINE Codes Add(Codes a, Codes b) { return _mm512_add_epi8(a, b); }
  ENCKE_INLINE Codes MinusOne(Codes codes) { return _mm512_subs_epu8(codes, _mm512_set1_epi8(1)); }

  ENCKE_INLINE void AddWhere(uint64_t where, int value, Codes* codes) {
    *codes =
        _mm512_mask_add_epi8(*codes, where, *codes, _mm512_set1_epi8(static_cast<char>(value)));
  }

  ENCKE_INLINE uint64_t Pext(uint64_t bits, uint64_t mask) { return _pext_u64(bits, mask); }
  ENCKE_INLINE uint64_t Pdep(uint64_t packed, uint64_t mask) { return _pdep_u64(packed, mask); }

  ENCKE_INLINE __m512 Load(const float* x) { return _mm512_loadu_ps(x); }
  ENCKE_INLINE __m512 Load(const uint16_t* x) {
    const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
  }

  // Bit pattern of the nearest bfloat16 in the upper half.
  ENCKE_INLINE __m512i RoundUpperHalf(__m512 value) {
    const __m512i bits = _mm512_castps_si512(value);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    return _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
  }
  ENCKE_INLINE __m512 Stored(__m512 value, const float*) { return value; }
  ENCKE_INLINE __m512 Stored(__m512 value, const uint16_t*) {
    return _mm512_castsi512_ps(
        _mm512_and_si512(RoundUpperHalf(value), _mm512_set1_epi32(static_cast<int>(0xffff0000))));
  }
  ENCKE_INLINE void Store(__m512 value, float* out) { _mm512_storeu_ps(out, value); }
  ENCKE_INLINE void Store(__m512 value, uint16_t* out) {
    const __m512i upper = _mm512_srli_epi32(RoundUpperHalf(value), 16);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm512_cvtepi32_epi16(upper));
  }

  struct Part {  // 16 elements
    __m512i code;
    __mmask16 good;
    __mmask16 counted;  // as ChunkSums::nonzero
  };

  template <typename T>
  ENCKE_INLINE Part QuantizeMasked(__m512 x, const QuantizerTables& t, int i, const T* type) {
    const __m512 scaled = _mm512_mul_ps(x, _mm512_loadu_ps(t.inverse_step + i));
    const __mmask16 active = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_GT_OQ);
    const __m512 up = _mm512_roundscale_ps(scaled, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
    const __m512 cell = _mm512_max_ps(up, _mm512_set1_ps(1.0f));
    const __m512 middle =
        _mm512_mul_ps(_mm512_sub_ps(cell, _mm512_set1_ps(0.5f)), _mm512_loadu_ps(t.step + i));
    const __m512 decoded = _mm512_maskz_mov_ps(active, Stored(middle, type));
    const __mmask16 positive = _mm512_cmp_ps_mask(decoded, _mm512_setzero_ps(), _CMP_GT_OQ);
    const __mmask16 fits =
        _mm512_cmp_ps_mask(cell, _mm512_set1_ps(static_cast<float>(kCodeLimit)), _CMP_LE_OQ);
    const __mmask16 sign_kept = static_cast<__mmask16>(~active | (positive & fits));
    return {_mm512_maskz_cvttps_epi32(active, cell),
            static_cast<__mmask16>(sign_kept & Inside(x, decoded, _mm512_loadu_ps(t.bound + i))),
            NotZero(x)};
  }

  template <typename T>
  ENCKE_INLINE Part QuantizeSigned(__m512 x, const QuantizerTables& t, int i, const T* type) {
    const __m512 scaled = _mm512_mul_ps(x, _mm512_loadu_ps(t.inverse_step + i));
    const __mmask16 fits =
        _mm512_cmp_ps_mask(_mm512_abs_ps(scaled), _mm512_set1_ps(0x1p23f), _CMP_LE_OQ);
    const __m512i k = _mm512_maskz_cvtps_epi32(fits, scaled);
    const __m512i offset = _mm512_sub_epi32(k, _mm512_loadu_si512(t.center + i));
    const __m512i code =
        _mm512_xor_si512(_mm512_slli_epi32(offset, 1), _mm512_srai_epi32(offset, 31));
    const __mmask16 small = _mm512_cmple_epu32_mask(code, _mm512_set1_epi32(kCodeLimit));
    const __m512 decoded =
        Stored(_mm512_mul_ps(_mm512_cvtepi32_ps(k), _mm512_loadu_ps(t.step + i)), type);
    const __mmask16 inside = Inside(x, decoded, _mm512_loadu_ps(t.bound + i));
    return {code, static_cast<__mmask16>(fits & small & inside), NotZero(x)};
  }

  // Which elements are on the active side of their threshold.
  ENCKE_INLINE __mmask16 Active(__m512 distance) {
    return _mm512_cmp_ps_mask(distance, _mm512_setzero_ps(), _CMP_GT_OQ);
  }
  ENCKE_INLINE __m512 Choose(__mmask16 active, const float* yes, const float* no) {
    return _mm512_mask_loadu_ps(_mm512_loadu_ps(no), active, yes);
  }

  template <typename T>
  ENCKE_INLINE Part QuantizeActivity(__m512 x, const QuantizerTables& t, int i, const T* type) {
    const __m512 threshold = _mm512_loadu_ps(t.threshold + i);
    const __m512 direction = _mm512_loadu_ps(t.direction + i);
    const __m512 distance = _mm512_mul_ps(_mm512_sub_ps(x, threshold), direction);
    const __mmask16 active = Active(distance);
    const __m512 scaled =
        _mm512_mul_ps(distance, Choose(active, t.inverse_step + i, t.inverse_width + i));
    const __m512 up = _mm512_roundscale_ps(scaled, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
    const __m512 cell = _mm512_mask_max_ps(up, active, up, _mm512_set1_ps(1.0f));
    const __mmask16 fits = _mm512_cmp_ps_mask(
        _mm512_abs_ps(cell), _mm512_set1_ps(static_cast<float>(kCellLimit)), _CMP_LE_OQ);
    const __m512i k = _mm512_maskz_cvttps_epi32(fits, cell);
    const __m512 decoded = Stored(ActivityValue(k, active, t, i), type);
    const __mmask16 after = Active(_mm512_mul_ps(_mm512_sub_ps(decoded, threshold), direction));
    const __mmask16 inside = Inside(x, decoded, Choose(active, t.bound + i, t.inactive_bound + i));
    return {_mm512_xor_si512(_mm512_slli_epi32(k, 1), _mm512_srai_epi32(k, 31)),
            static_cast<__mmask16>(fits & ~(active ^ after) & inside), active};
  }

  // `active`: k > 0.
  ENCKE_INLINE __m512 ActivityValue(__m512i k, __mmask16 active, const QuantizerTables& t, int i) {
    // The cell's byte moves to the top; for cells that have none the shift leaves 0.
    const __m512i shift = _mm512_add_epi32(_mm512_slli_epi32(k, 3), _mm512_set1_epi32(24));
    const __m512i offset =
        _mm512_srai_epi32(_mm512_sllv_epi32(_mm512_loadu_si512(t.centroids + i), shift), 24);
    const __m512 middle = _mm512_sub_ps(_mm512_cvtepi32_ps(k), _mm512_set1_ps(0.5f));
    const __m512 cells = _mm512_fnmadd_ps(_mm512_cvtepi32_ps(offset), _mm512_set1_ps(kCentroidUnit),
                                          middle);  // exact
    const __m512 distance = _mm512_mul_ps(cells, Choose(active, t.step + i, t.width + i));
    return _mm512_add_ps(_mm512_loadu_ps(t.threshold + i),
                         _mm512_mul_ps(distance, _mm512_loadu_ps(t.direction + i)));
  }

  // |x - decoded| < bound, or equal bit for bit.
  ENCKE_INLINE __mmask16 Inside(__m512 x, __m512 decoded, __m512 bound) {
    const __m512 error = _mm512_abs_ps(_mm512_sub_ps(x, decoded));
    const __mmask16 near = _mm512_cmp_ps_mask(error, bound, _CMP_LT_OQ);
    const __mmask16 same =
        _mm512_cmpeq_epi32_mask(_mm512_castps_si512(x), _mm512_castps_si512(decoded));
    return static_cast<__mmask16>(near | same);
  }

  ENCKE_INLINE __mmask16 NotZero(__m512 x) {
    return _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_NEQ_UQ);
  }

  template <QuantizerMode kMode, typename T>
  ENCKE_INLINE Part QuantizePart(__m512 x, const QuantizerTables& t, int i, const T* type) {
    if constexpr (kMode == QuantizerMode::MASK) {
      return QuantizeMasked(x, t, i, type);
    } else if constexpr (kMode == QuantizerMode::ACTIVITY) {
      return QuantizeActivity(x, t, i, type);
    } else {
      return QuantizeSigned(x, t, i, type);
    }
  }

  ENCKE_INLINE __m512 FiniteSquare(__m512 x) {
    const __mmask16 finite =
        _mm512_cmp_ps_mask(_mm512_abs_ps(x), _mm512_set1_ps(__builtin_inff()), _CMP_LT_OQ);
    return _mm512_maskz_mul_ps(finite, x, x);
  }

  template <QuantizerMode kMode, typename T>
  ENCKE_INLINE Quantized Quantize(const T* x, uint64_t valid, const QuantizerTables& tables,
                                  Sums* sums) {
    __m512 squares = _mm512_setzero_ps();
    __m128i low[4], high[4];
    uint64_t good = 0, nonzero = 0;
    for (int part = 0; part < 4; ++part) {
      const int i = 16 * part;
      const __m512 value = Load(x + i);
      Part p = QuantizePart<kMode>(value, tables, i, x);
      p.code = _mm512_maskz_mov_epi32(p.good, p.code);
      low[part] = _mm512_cvtepi32_epi8(p.code);
      high[part] = _mm512_cvtepi32_epi8(_mm512_srli_epi32(p.code, 8));
      good |= static_cast<uint64_t>(p.good) << i;
      nonzero |= static_cast<uint64_t>(p.counted) << i;
      squares = _mm512_add_ps(squares, FiniteSquare(value));
    }
    const uint64_t escapes = ~good & valid;
    sums->nonzero += Popcount(nonzero & valid);
    sums->escapes += Popcount(escapes);
    sums->squares[0] =
        _mm512_add_pd(sums->squares[0], _mm512_cvtps_pd(_mm512_castps512_ps256(squares)));
    sums->squares[1] =
        _mm512_add_pd(sums->squares[1], _mm512_cvtps_pd(_mm512_extractf32x8_ps(squares, 1)));
    Quantized block;
    block.low = _mm512_maskz_mov_epi8(valid, Join(low));
    block.high = _mm512_maskz_mov_epi8(valid, Join(high));
    block.escapes = escapes;
    block.wide = _mm512_test_epi8_mask(block.high, block.high) != 0;
    return block;
  }

  ENCKE_INLINE __m512i Join(const __m128i* quarters) {
    const __m256i a = _mm256_inserti128_si256(_mm256_castsi128_si256(quarters[0]), quarters[1], 1);
    const __m256i b = _mm256_inserti128_si256(_mm256_castsi128_si256(quarters[2]), quarters[3], 1);
    return _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);
  }

  template <QuantizerMode kMode, typename T>
  ENCKE_INLINE void DequantizePart(__m512i code, const QuantizerTables& t, int i, T* out) {
    if constexpr (kMode == QuantizerMode::MASK) {
      const __m512 cell = _mm512_sub_ps(_mm512_cvtepi32_ps(code), _mm512_set1_ps(0.5f));
      const __mmask16 active = _mm512_test_epi32_mask(code, code);
      Store(_mm512_maskz_mul_ps(active, cell, _mm512_loadu_ps(t.step + i)), out + i);
    } else if constexpr (kMode == QuantizerMode::ACTIVITY) {
      const __m512i k = FromZigzags(code);
      const __mmask16 active = _mm512_cmpgt_epi32_mask(k, _mm512_setzero_si512());
      Store(ActivityValue(k, active, t, i), out + i);
    } else {
      const __m512i k = _mm512_add_epi32(FromZigzags(code), _mm512_loadu_si512(t.center + i));
      Store(_mm512_mul_ps(_mm512_cvtepi32_ps(k), _mm512_loadu_ps(t.step + i)), out + i);
    }
  }

  ENCKE_INLINE __m512i FromZigzags(__m512i code) {
    const __m512i sign =
        _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_and_si512(code, _mm512_set1_epi32(1)));
    return _mm512_xor_si512(_mm512_srli_epi32(code, 1), sign);
  }

  template <int kPart>
  ENCKE_INLINE __m512i Widen(Codes codes) {
    return _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(codes, kPart));
  }

  template <QuantizerMode kMode, int kPart, typename T>
  ENCKE_INLINE void DequantizeQuarter(const Quantized& block, const QuantizerTables& t, T* out) {
    __m512i code = Widen<kPart>(block.low);
    if (block.wide) {
      code = _mm512_or_si512(code, _mm512_slli_epi32(Widen<kPart>(block.high), 8));
    }
    DequantizePart<kMode>(code, t, 16 * kPart, out);
  }

  template <QuantizerMode kMode, typename T>
  ENCKE_INLINE void Dequantize(const Quantized& block, const QuantizerTables& tables, T* out) {
    DequantizeQuarter<kMode, 0>(block, tables, out);
    DequantizeQuarter<kMode, 1>(block, tables, out);
    DequantizeQuarter<kMode, 2>(block, tables, out);
    DequantizeQuarter<kMode, 3>(block, tables, out);
  }
};

}  // namespace
}  // namespace encke::simd
