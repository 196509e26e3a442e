// Block operations on AVX2: a block of codes is two registers of 32.
#pragma once

#include <immintrin.h>

#include "compression/simd/block.h"

namespace encke::simd {
namespace {

struct Avx2Ops {
  struct Codes {
    __m256i half[2];
  };

  struct Quantized {
    Codes low, high;
    uint64_t escapes;
    bool wide;
  };

  struct Sums {
    __m256d squares[4] = {_mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd(),
                          _mm256_setzero_pd()};
    int64_t nonzero = 0, escapes = 0;

    void AddTo(ChunkSums* sums) const {
      double lanes[kSumLanes];
      for (int i = 0; i < 4; ++i) _mm256_storeu_pd(lanes + 4 * i, squares[i]);
      for (double s : lanes) sums->squares += s;
      sums->nonzero += nonzero;
      sums->escapes += escapes;
    }
  };

  ENCKE_INLINE Codes Zero() { return {{_mm256_setzero_si256(), _mm256_setzero_si256()}}; }

  ENCKE_INLINE uint64_t SignBits(__m256i a, __m256i b) {
    return static_cast<uint32_t>(_mm256_movemask_epi8(a)) |
           static_cast<uint64_t>(static_cast<uint32_t>(_mm256_movemask_epi8(b))) << 32;
  }

  ENCKE_INLINE Codes LoadCodes(const uint8_t* in) {
    Codes codes;
    std::memcpy(&codes, in, sizeof(codes));
    return codes;
  }
  ENCKE_INLINE void StoreCodes(const Codes& codes, uint8_t* out) {
    std::memcpy(out, &codes, sizeof(codes));
  }

  ENCKE_INLINE uint64_t AtLeast(const Codes& codes, int least) {
    const __m256i t = _mm256_set1_epi8(static_cast<char>(least));
    return SignBits(_mm256_cmpeq_epi8(_mm256_max_epu8(codes.half[0], t), codes.half[0]),
                    _mm256_cmpeq_epi8(_mm256_max_epu8(codes.half[1], t), codes.half[1]));
  }

  ENCKE_INLINE Codes Lookup(const uint8_t* table, const Codes& codes) {
    const __m256i entries =
        _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
    return {
        {_mm256_shuffle_epi8(entries, codes.half[0]), _mm256_shuffle_epi8(entries, codes.half[1])}};
  }

  ENCKE_INLINE uint64_t Plane(const Codes& codes, int plane) {
    const __m128i shift = _mm_cvtsi32_si128(7 - plane);
    return SignBits(_mm256_sll_epi16(codes.half[0], shift), _mm256_sll_epi16(codes.half[1], shift));
  }

  ENCKE_INLINE __m256i SumHalf(__m256i half, int shift) {
    const __m256i shifted = _mm256_and_si256(_mm256_srl_epi16(half, _mm_cvtsi32_si128(shift)),
                                             _mm256_set1_epi8(static_cast<char>(0xff >> shift)));
    return _mm256_sad_epu8(shifted, _mm256_setzero_si256());
  }

  ENCKE_INLINE uint32_t SumShifted(const Codes& codes, int shift) {
    const __m256i sums =
        _mm256_add_epi64(SumHalf(codes.half[0], shift), SumHalf(codes.half[1], shift));
    const __m128i pair =
        _mm_add_epi64(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    return static_cast<uint32_t>(_mm_cvtsi128_si64(pair) + _mm_extract_epi64(pair, 1));
  }

  ENCKE_INLINE Codes Add(const Codes& a, const Codes& b) {
    return {{_mm256_add_epi8(a.half[0], b.half[0]), _mm256_add_epi8(a.half[1], b.half[1])}};
  }

  ENCKE_INLINE Codes MinusOne(const Codes& codes) {
    const __m256i one = _mm256_set1_epi8(1);
    return {{_mm256_subs_epu8(codes.half[0], one), _mm256_subs_epu8(codes.half[1], one)}};
  }

  // Bytes of 0xff where a bit is set.
  ENCKE_INLINE __m256i Expand(uint32_t bits) {
    const __m256i spread = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2,
                                            2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    const __m256i bit = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201));
    const __m256i bytes = _mm256_shuffle_epi8(_mm256_set1_epi32(static_cast<int>(bits)), spread);
    return _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit);
  }

  // Zero but where a bit is set.
  ENCKE_INLINE Codes Keep(const Codes& codes, uint64_t where) {
    return {{_mm256_and_si256(codes.half[0], Expand(static_cast<uint32_t>(where))),
             _mm256_and_si256(codes.half[1], Expand(static_cast<uint32_t>(where >> 32)))}};
  }

  ENCKE_INLINE void AddWhere(uint64_t where, int value, Codes* codes) {
    const __m256i v = _mm256_set1_epi8(static_cast<char>(value));
    for (int h = 0; h < 2; ++h) {
      const __m256i mask = Expand(static_cast<uint32_t>(where >> 32 * h));
      codes->half[h] = _mm256_add_epi8(codes->half[h], _mm256_and_si256(mask, v));
    }
  }

  ENCKE_INLINE uint64_t Pext(uint64_t bits, uint64_t mask) { return _pext_u64(bits, mask); }
  ENCKE_INLINE uint64_t Pdep(uint64_t packed, uint64_t mask) { return _pdep_u64(packed, mask); }

  ENCKE_INLINE __m256 Abs(__m256 x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }

  ENCKE_INLINE __m256 Load(const float* x) { return _mm256_loadu_ps(x); }
  ENCKE_INLINE __m256 Load(const uint16_t* x) {
    const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
  }

  ENCKE_INLINE __m256i RoundUpperHalf(__m256 value) {
    const __m256i bits = _mm256_castps_si256(value);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    return _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
  }
  ENCKE_INLINE __m256 Stored(__m256 value, const float*) { return value; }
  ENCKE_INLINE __m256 Stored(__m256 value, const uint16_t*) {
    return _mm256_castsi256_ps(
        _mm256_and_si256(RoundUpperHalf(value), _mm256_set1_epi32(static_cast<int>(0xffff0000))));
  }
  ENCKE_INLINE void Store(__m256 value, float* out) { _mm256_storeu_ps(out, value); }
  ENCKE_INLINE void Store(__m256 value, uint16_t* out) {
    const __m256i upper = _mm256_srli_epi32(RoundUpperHalf(value), 16);
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(upper, upper), 0x08);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm256_castsi256_si128(packed));
  }

  struct Part {  // 8 elements; `good` is all ones where inside the bound
    __m256i code;
    __m256 good;
    __m256 counted;  // as ChunkSums::nonzero
  };

  template <typename T>
  ENCKE_INLINE Part QuantizeMasked(__m256 x, const QuantizerTables& t, int i, const T* type) {
    const __m256 zero = _mm256_setzero_ps();
    const __m256 scaled = _mm256_mul_ps(x, _mm256_loadu_ps(t.inverse_step + i));
    const __m256 active = _mm256_cmp_ps(x, zero, _CMP_GT_OQ);
    const __m256 up = _mm256_round_ps(scaled, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
    const __m256 cell = _mm256_max_ps(up, _mm256_set1_ps(1.0f));
    const __m256 middle =
        _mm256_mul_ps(_mm256_sub_ps(cell, _mm256_set1_ps(0.5f)), _mm256_loadu_ps(t.step + i));
    const __m256 decoded = _mm256_and_ps(active, Stored(middle, type));
    const __m256 positive = _mm256_cmp_ps(decoded, zero, _CMP_GT_OQ);
    const __m256 fits =
        _mm256_cmp_ps(cell, _mm256_set1_ps(static_cast<float>(kCodeLimit)), _CMP_LE_OQ);
    const __m256 lost = _mm256_andnot_ps(_mm256_and_ps(positive, fits), active);
    const __m256 inside = Inside(x, decoded, _mm256_loadu_ps(t.bound + i));
    const __m256 good = _mm256_andnot_ps(lost, inside);
    return {_mm256_and_si256(_mm256_cvttps_epi32(cell),
                             _mm256_castps_si256(_mm256_and_ps(good, active))),
            good, NotZero(x)};
  }

  template <typename T>
  ENCKE_INLINE Part QuantizeSigned(__m256 x, const QuantizerTables& t, int i, const T* type) {
    const __m256 scaled = _mm256_mul_ps(x, _mm256_loadu_ps(t.inverse_step + i));
    const __m256 fits = _mm256_cmp_ps(Abs(scaled), _mm256_set1_ps(0x1p23f), _CMP_LE_OQ);
    const __m256i k = _mm256_and_si256(_mm256_cvtps_epi32(scaled), _mm256_castps_si256(fits));
    const __m256i center = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(t.center + i));
    const __m256i offset = _mm256_sub_epi32(k, center);
    const __m256i code =
        _mm256_xor_si256(_mm256_slli_epi32(offset, 1), _mm256_srai_epi32(offset, 31));
    const __m256i small = _mm256_cmpeq_epi32(_mm256_srli_epi32(code, 16), _mm256_setzero_si256());
    const __m256 decoded =
        Stored(_mm256_mul_ps(_mm256_cvtepi32_ps(k), _mm256_loadu_ps(t.step + i)), type);
    const __m256 usable = _mm256_and_ps(fits, _mm256_castsi256_ps(small));
    const __m256 good = _mm256_and_ps(usable, Inside(x, decoded, _mm256_loadu_ps(t.bound + i)));
    return {_mm256_and_si256(code, _mm256_castps_si256(good)), good, NotZero(x)};
  }

  ENCKE_INLINE __m256 Active(__m256 distance) {
    return _mm256_cmp_ps(distance, _mm256_setzero_ps(), _CMP_GT_OQ);
  }
  ENCKE_INLINE __m256 Choose(__m256 active, const float* yes, const float* no) {
    return _mm256_blendv_ps(_mm256_loadu_ps(no), _mm256_loadu_ps(yes), active);
  }

  template <typename T>
  ENCKE_INLINE Part QuantizeActivity(__m256 x, const QuantizerTables& t, int i, const T* type) {
    const __m256 threshold = _mm256_loadu_ps(t.threshold + i);
    const __m256 direction = _mm256_loadu_ps(t.direction + i);
    const __m256 distance = _mm256_mul_ps(_mm256_sub_ps(x, threshold), direction);
    const __m256 active = Active(distance);
    const __m256 scaled =
        _mm256_mul_ps(distance, Choose(active, t.inverse_step + i, t.inverse_width + i));
    const __m256 up = _mm256_round_ps(scaled, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
    const __m256 cell = _mm256_blendv_ps(up, _mm256_max_ps(up, _mm256_set1_ps(1.0f)), active);
    const __m256 fits =
        _mm256_cmp_ps(Abs(cell), _mm256_set1_ps(static_cast<float>(kCellLimit)), _CMP_LE_OQ);
    const __m256i k = _mm256_and_si256(_mm256_cvttps_epi32(cell), _mm256_castps_si256(fits));
    const __m256 decoded = Stored(ActivityValue(k, active, t, i), type);
    const __m256 after = Active(_mm256_mul_ps(_mm256_sub_ps(decoded, threshold), direction));
    const __m256 kept = _mm256_andnot_ps(_mm256_xor_ps(active, after), fits);
    const __m256 bound = Choose(active, t.bound + i, t.inactive_bound + i);
    const __m256 good = _mm256_and_ps(kept, Inside(x, decoded, bound));
    const __m256i code = _mm256_xor_si256(_mm256_slli_epi32(k, 1), _mm256_srai_epi32(k, 31));
    return {_mm256_and_si256(code, _mm256_castps_si256(good)), good, active};
  }

  // `active`: k > 0.
  ENCKE_INLINE __m256 ActivityValue(__m256i k, __m256 active, const QuantizerTables& t, int i) {
    // The cell's byte moves to the top; for cells that have none the shift leaves 0.
    const __m256i packed = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(t.centroids + i));
    const __m256i shift = _mm256_add_epi32(_mm256_slli_epi32(k, 3), _mm256_set1_epi32(24));
    const __m256i offset = _mm256_srai_epi32(_mm256_sllv_epi32(packed, shift), 24);
    const __m256 middle = _mm256_sub_ps(_mm256_cvtepi32_ps(k), _mm256_set1_ps(0.5f));
    const __m256 cells = _mm256_sub_ps(
        middle, _mm256_mul_ps(_mm256_cvtepi32_ps(offset), _mm256_set1_ps(kCentroidUnit)));
    const __m256 distance = _mm256_mul_ps(cells, Choose(active, t.step + i, t.width + i));
    return _mm256_add_ps(_mm256_loadu_ps(t.threshold + i),
                         _mm256_mul_ps(distance, _mm256_loadu_ps(t.direction + i)));
  }

  ENCKE_INLINE __m256 Inside(__m256 x, __m256 decoded, __m256 bound) {
    const __m256 error = Abs(_mm256_sub_ps(x, decoded));
    const __m256 near = _mm256_cmp_ps(error, bound, _CMP_LT_OQ);
    const __m256i same = _mm256_cmpeq_epi32(_mm256_castps_si256(x), _mm256_castps_si256(decoded));
    return _mm256_or_ps(near, _mm256_castsi256_ps(same));
  }

  ENCKE_INLINE __m256 NotZero(__m256 x) {
    return _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_NEQ_UQ);
  }

  template <QuantizerMode kMode, typename T>
  ENCKE_INLINE Part QuantizePart(__m256 x, const QuantizerTables& t, int i, const T* type) {
    if constexpr (kMode == QuantizerMode::MASK) {
      return QuantizeMasked(x, t, i, type);
    } else if constexpr (kMode == QuantizerMode::ACTIVITY) {
      return QuantizeActivity(x, t, i, type);
    } else {
      return QuantizeSigned(x, t, i, type);
    }
  }

  // The lowest bytes of 32 codes, which are all below 2^16.
  ENCKE_INLINE __m256i LowBytes(const __m256i* codes) {
    const __m256i byte = _mm256_set1_epi32(0xff);
    return Pack(_mm256_and_si256(codes[0], byte), _mm256_and_si256(codes[1], byte),
                _mm256_and_si256(codes[2], byte), _mm256_and_si256(codes[3], byte));
  }
  ENCKE_INLINE __m256i HighBytes(const __m256i* codes) {
    return Pack(_mm256_srli_epi32(codes[0], 8), _mm256_srli_epi32(codes[1], 8),
                _mm256_srli_epi32(codes[2], 8), _mm256_srli_epi32(codes[3], 8));
  }
  ENCKE_INLINE __m256i Pack(__m256i a, __m256i b, __m256i c, __m256i d) {
    const __m256i mixed = _mm256_packus_epi16(_mm256_packus_epi32(a, b), _mm256_packus_epi32(c, d));
    return _mm256_permutevar8x32_epi32(mixed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  }

  template <QuantizerMode kMode, typename T>
  ENCKE_INLINE Quantized Quantize(const T* x, uint64_t valid, const QuantizerTables& tables,
                                  Sums* sums) {
    __m256 squares[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    __m256i codes[8];
    uint64_t good = 0, nonzero = 0;
    for (int part = 0; part < 8; ++part) {
      const int i = 8 * part;
      const __m256 value = Load(x + i);
      const Part p = QuantizePart<kMode>(value, tables, i, x);
      codes[part] = p.code;
      good |= static_cast<uint64_t>(_mm256_movemask_ps(p.good)) << i;
      nonzero |= static_cast<uint64_t>(_mm256_movemask_ps(p.counted)) << i;
      squares[part & 1] = _mm256_add_ps(squares[part & 1], _mm256_mul_ps(value, value));
    }
    const uint64_t escapes = ~good & valid;
    sums->nonzero += Popcount(nonzero & valid);
    sums->escapes += Popcount(escapes);
    for (int i = 0; i < 2; ++i) {
      sums->squares[2 * i] =
          _mm256_add_pd(sums->squares[2 * i], _mm256_cvtps_pd(_mm256_castps256_ps128(squares[i])));
      sums->squares[2 * i + 1] = _mm256_add_pd(
          sums->squares[2 * i + 1], _mm256_cvtps_pd(_mm256_extractf128_ps(squares[i], 1)));
    }
    Quantized block;
    block.low = {{LowBytes(codes), LowBytes(codes + 4)}};
    block.high = {{HighBytes(codes), HighBytes(codes + 4)}};
    block.escapes = escapes;
    if (valid != ~uint64_t{0}) {
      block.low = Keep(block.low, valid);
      block.high = Keep(block.high, valid);
    }
    const __m256i any = _mm256_or_si256(block.high.half[0], block.high.half[1]);
    block.wide = !_mm256_testz_si256(any, any);
    return block;
  }

  template <QuantizerMode kMode, typename T>
  ENCKE_INLINE void DequantizePart(__m256i code, const QuantizerTables& t, int i, T* out) {
    if constexpr (kMode == QuantizerMode::MASK) {
      const __m256 step = _mm256_loadu_ps(t.step + i);
      const __m256 cell = _mm256_sub_ps(_mm256_cvtepi32_ps(code), _mm256_set1_ps(0.5f));
      const __m256 inactive = _mm256_castsi256_ps(_mm256_cmpeq_epi32(code, _mm256_setzero_si256()));
      Store(_mm256_andnot_ps(inactive, _mm256_mul_ps(cell, step)), out + i);
    } else if constexpr (kMode == QuantizerMode::ACTIVITY) {
      const __m256i k = FromZigzags(code);
      const __m256 active = _mm256_castsi256_ps(_mm256_cmpgt_epi32(k, _mm256_setzero_si256()));
      Store(ActivityValue(k, active, t, i), out + i);
    } else {
      const __m256i center = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(t.center + i));
      const __m256i k = _mm256_add_epi32(FromZigzags(code), center);
      Store(_mm256_mul_ps(_mm256_cvtepi32_ps(k), _mm256_loadu_ps(t.step + i)), out + i);
    }
  }

  ENCKE_INLINE __m256i FromZigzags(__m256i code) {
    const __m256i sign =
        _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_and_si256(code, _mm256_set1_epi32(1)));
    return _mm256_xor_si256(_mm256_srli_epi32(code, 1), sign);
  }

  template <QuantizerMode kMode, typename T>
  ENCKE_INLINE void Dequantize(const Quantized& block, const QuantizerTables& tables, T* out) {
    alignas(32) uint8_t low[kBlockElements], high[kBlockElements];
    for (int h = 0; h < 2; ++h) {
      _mm256_store_si256(reinterpret_cast<__m256i*>(low + 32 * h), block.low.half[h]);
      if (block.wide) {
        _mm256_store_si256(reinterpret_cast<__m256i*>(high + 32 * h), block.high.half[h]);
      }
    }
    for (int i = 0; i < kBlockElements; i += 8) {
      __m256i code = Widen(low + i);
      if (block.wide) code = _mm256_or_si256(code, _mm256_slli_epi32(Widen(high + i), 8));
      DequantizePart<kMode>(code, tables, i, out);
    }
  }

  ENCKE_INLINE __m256i Widen(const uint8_t* codes) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes)));
  }
};

}  // namespace
}  // namespace encke::simd
