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

  // Codes before they are made positive, of 16 bits each, in halves of eight elements in turn: 0 to
  // 7, 16 to 23, ... in the first. Packed, both together are in order.
  struct Numbers {
    __m512i half[2];
    uint64_t escapes;
  };

  struct Part {  // 16 elements
    __m512i number;
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
    const __m512i from_least = _mm512_add_epi32(offset, _mm512_set1_epi32((kCodeLimit + 1) / 2));
    const __mmask16 small = _mm512_cmple_epu32_mask(from_least, _mm512_set1_epi32(kCodeLimit));
    const __m512 decoded =
        Stored(_mm512_mul_ps(_mm512_cvtepi32_ps(k), _mm512_loadu_ps(t.step + i)), type);
    const __mmask16 inside = Inside(x, decoded, _mm512_loadu_ps(t.bound + i));
    return {offset, static_cast<__mmask16>(fits & small & inside), NotZero(x)};
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
    return {k, static_cast<__mmask16>(fits & ~(active ^ after) & inside), active};
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

  template <QuantizerMode kMode, typename T>
  ENCKE_INLINE Numbers QuantizeNumbers(const T* x, uint64_t valid, const QuantizerTables& tables,
                                       Sums* sums) {
    __m512 squares = _mm512_setzero_ps();
    Part part[4];
    for (int p = 0; p < 4; ++p) {
      const __m512 value = Load(x + 16 * p);
      part[p] = QuantizePart<kMode>(value, tables, 16 * p, x);
      squares = _mm512_add_ps(squares, _mm512_mul_ps(value, value));
    }
    sums->squares[0] =
        _mm512_add_pd(sums->squares[0], _mm512_cvtps_pd(_mm512_castps512_ps256(squares)));
    sums->squares[1] =
        _mm512_add_pd(sums->squares[1], _mm512_cvtps_pd(_mm512_extractf32x8_ps(squares, 1)));
    __mmask32 first = _mm512_kunpackw(part[1].good, part[0].good);
    __mmask32 second = _mm512_kunpackw(part[3].good, part[2].good);
    if (__builtin_expect(~valid != 0, 0)) {
      first &= static_cast<__mmask32>(valid);
      second &= static_cast<__mmask32>(valid >> 32);
    }
    const uint64_t escapes = ~_mm512_kunpackd(second, first) & valid;
    const uint64_t counted = _mm512_kunpackd(_mm512_kunpackw(part[3].counted, part[2].counted),
                                             _mm512_kunpackw(part[1].counted, part[0].counted));
    sums->nonzero += Popcount(counted & valid);
    sums->escapes += Popcount(escapes);
    const __m512i a =
        _mm512_maskz_permutex2var_epi16(first, part[0].number, EvenWords(), part[1].number);
    const __m512i b =
        _mm512_maskz_permutex2var_epi16(second, part[2].number, EvenWords(), part[3].number);
    return {{_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd)}, escapes};
  }

  // Where the lower halves of two registers' 32 bits are.
  ENCKE_INLINE __m512i EvenWords() {
    return _mm512_set_epi16(62, 60, 58, 56, 54, 52, 50, 48, 46, 44, 42, 40, 38, 36, 34, 32, 30, 28,
                            26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  }

  template <QuantizerMode kMode, typename T>
  ENCKE_INLINE Quantized Quantize(const T* x, uint64_t valid, const QuantizerTables& tables,
                                  Sums* sums) {
    const Numbers numbers = QuantizeNumbers<kMode>(x, valid, tables, sums);
    __m512i code[2] = {numbers.half[0], numbers.half[1]};
    if constexpr (kMode != QuantizerMode::MASK) {
      for (__m512i& c : code) {
        c = _mm512_xor_si512(_mm512_slli_epi16(c, 1), _mm512_srai_epi16(c, 15));
      }
    }
    const __m512i byte = _mm512_set1_epi16(255);
    Quantized block;
    block.escapes = numbers.escapes;
    block.wide = _mm512_cmpgt_epu16_mask(_mm512_or_si512(code[0], code[1]), byte) != 0;
    block.high = Zero();
    if (block.wide) {
      block.high =
          _mm512_packus_epi16(_mm512_srli_epi16(code[0], 8), _mm512_srli_epi16(code[1], 8));
      for (__m512i& c : code) c = _mm512_and_si512(c, byte);
    }
    block.low = _mm512_packus_epi16(code[0], code[1]);
    return block;
  }

  // From numbers: codes with a mask, otherwise k, without the center.
  template <QuantizerMode kMode, typename T>
  ENCKE_INLINE void DequantizePart(__m512i number, const QuantizerTables& t, int i, T* out) {
    if constexpr (kMode == QuantizerMode::MASK) {
      const __m512 cell = _mm512_sub_ps(_mm512_cvtepi32_ps(number), _mm512_set1_ps(0.5f));
      const __mmask16 active = _mm512_test_epi32_mask(number, number);
      Store(_mm512_maskz_mul_ps(active, cell, _mm512_loadu_ps(t.step + i)), out + i);
    } else if constexpr (kMode == QuantizerMode::ACTIVITY) {
      const __mmask16 active = _mm512_cmpgt_epi32_mask(number, _mm512_setzero_si512());
      Store(ActivityValue(number, active, t, i), out + i);
    } else {
      const __m512i k = _mm512_add_epi32(number, _mm512_loadu_si512(t.center + i));
      Store(_mm512_mul_ps(_mm512_cvtepi32_ps(k), _mm512_loadu_ps(t.step + i)), out + i);
    }
  }

  template <QuantizerMode kMode, int kPart, typename T>
  ENCKE_INLINE void DequantizeNarrow(Codes numbers, const QuantizerTables& t, T* out) {
    const __m128i quarter = _mm512_extracti32x4_epi32(numbers, kPart);
    const __m512i number = kMode == QuantizerMode::MASK ? _mm512_cvtepu8_epi32(quarter)
                                                        : _mm512_cvtepi8_epi32(quarter);
    DequantizePart<kMode>(number, t, 16 * kPart, out);
  }

  template <QuantizerMode kMode, int kPart, typename T>
  ENCKE_INLINE void DequantizeWide(const Quantized& block, const QuantizerTables& t, T* out) {
    const __m512i low = _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(block.low, kPart));
    const __m512i high = _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(block.high, kPart));
    __m512i number = _mm512_or_si512(low, _mm512_slli_epi32(high, 8));
    if constexpr (kMode != QuantizerMode::MASK) {
      const __m512i odd = _mm512_and_si512(number, _mm512_set1_epi32(1));
      number = _mm512_xor_si512(_mm512_srli_epi32(number, 1),
                                _mm512_sub_epi32(_mm512_setzero_si512(), odd));
    }
    DequantizePart<kMode>(number, t, 16 * kPart, out);
  }

  template <QuantizerMode kMode, typename T>
  ENCKE_INLINE void Dequantize(const Quantized& block, const QuantizerTables& tables, T* out) {
    if (block.wide) {
      DequantizeWide<kMode, 0>(block, tables, out);
      DequantizeWide<kMode, 1>(block, tables, out);
      DequantizeWide<kMode, 2>(block, tables, out);
      DequantizeWide<kMode, 3>(block, tables, out);
      return;
    }
    Codes numbers = block.low;
    if constexpr (kMode != QuantizerMode::MASK) {
      const __m512i half =
          _mm512_and_si512(_mm512_srli_epi16(block.low, 1), _mm512_set1_epi8(0x7f));
      const __m512i odd = _mm512_and_si512(block.low, _mm512_set1_epi8(1));
      numbers = _mm512_xor_si512(half, _mm512_sub_epi8(_mm512_setzero_si512(), odd));
    }
    DequantizeNarrow<kMode, 0>(numbers, tables, out);
    DequantizeNarrow<kMode, 1>(numbers, tables, out);
    DequantizeNarrow<kMode, 2>(numbers, tables, out);
    DequantizeNarrow<kMode, 3>(numbers, tables, out);
  }
};

}  // namespace
}  // namespace encke::simd
