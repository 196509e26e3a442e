// How one element becomes a code and a code an element, on both sides of the codec; the rules of
// compression/quantizer.h in the form that a GPU's lane applies them.
//
// A rule is a type with
//   kMode                          whose rule it is
//   DecodeTable                    what decoding needs to know of one channel
//   Table                          all of its constants, 16-byte aligned; `decode` among them
//   Quantize(x, table)             the code, or not good: an escape
//   QuickCode(x, table)            the same as long as the code is below 256; not good: not sure
//   kZigzag                        whether codes are zigzags of k, which otherwise is the code
//   ValueOf(k, decode_table)       the decoded element, not yet rounded to its type
// Elements are float, or uint16_t for bfloat16.
#pragma once

#include "compression/cuda/portable.h"
#include "compression/quantizer_tables.h"

namespace encke::cuda {

ENCKE_INLINE float Widen(float x) { return x; }
ENCKE_INLINE float Widen(uint16_t x) {
  float value;
  SetBits(static_cast<uint32_t>(x) << 16, &value);
  return value;
}

ENCKE_INLINE void Narrow(float value, float* x) { *x = value; }
// To nearest, ties to even.
ENCKE_INLINE void Narrow(float value, uint16_t* x) {
  const uint32_t bits = BitsOf(value);
  *x = static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// `value` as it is after being stored as a T.
template <typename T>
ENCKE_INLINE float Stored(float value) {
  T stored;
  Narrow(value, &stored);
  return Widen(stored);
}

struct ElementCode {
  uint32_t code;
  bool good;     // otherwise the element is an escape, and the code 0
  bool counted;  // as EncodeStatistics::nonzero
};

// `valid`: whether the code can be used, as far as the rule knows. Here is seen whether what it
// decodes to is inside the bound, or equal bit for bit.
ENCKE_INLINE ElementCode CheckedCode(float x, uint32_t code, float decoded, float bound, bool valid,
                                     bool counted) {
  const bool inside = fabsf(Subtract(x, decoded)) < bound || BitsOf(x) == BitsOf(decoded);
  const bool good = valid && inside;
  return {good ? code : 0, good, counted};
}

// Adding it to a number of less than 2^22 rounds that to a whole one.
constexpr float kRounder = 0x1.8p23f;
ENCKE_INLINE float PlusRounder(float x) { return Add(x, kRounder); }
ENCKE_INLINE float PlusRounderUp(float x) {
#ifdef __CUDA_ARCH__
  return __fadd_ru(x, kRounder);
#else
  return ceilf(x) + kRounder;
#endif
}
// The whole number of such a sum. No small one where the sum was not of one so small.
ENCKE_INLINE int32_t WholeOf(float sum) {
  return static_cast<int32_t>(BitsOf(sum) - BitsOf(kRounder));
}

// As Stored, of numbers that are finite as a T.
template <typename T>
ENCKE_INLINE float StoredFinite(float value) {
#ifdef __CUDA_ARCH__
  if (sizeof(T) == sizeof(uint16_t)) {
    uint16_t bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return Widen(bits);
  }
#endif
  return Stored<T>(value);
}

ENCKE_INLINE uint32_t Zigzag(int32_t k) {
  return static_cast<uint32_t>(k) << 1 ^ static_cast<uint32_t>(k >> 31);
}
ENCKE_INLINE int32_t Unzigzag(uint32_t code) {
  return static_cast<int32_t>(code >> 1) ^ -static_cast<int32_t>(code & 1);
}

struct alignas(8) UniformDecodeTable {
  float step;
  int32_t center;
};

struct alignas(16) UniformTable {
  UniformDecodeTable decode;
  float bound;
  float inverse_step;
};

struct SignedRule {
  static constexpr QuantizerMode kMode = QuantizerMode::SIGNED;
  static constexpr bool kZigzag = true;
  using Table = UniformTable;
  using DecodeTable = UniformDecodeTable;

  template <typename T>
  ENCKE_INLINE_MEMBER static ElementCode Quantize(T stored, const Table& table) {
    const float x = Widen(stored), scaled = Multiply(x, table.inverse_step);
    const bool fits = fabsf(scaled) <= 0x1p23f;
    const int32_t k = fits ? static_cast<int32_t>(rintf(scaled)) : 0;
    const uint32_t code = Zigzag(k - table.decode.center);
    const float decoded = Stored<T>(Multiply(static_cast<float>(k), table.decode.step));
    return CheckedCode(x, code, decoded, table.bound, fits && code <= simd::kCodeLimit, x != 0);
  }

  template <typename T>
  ENCKE_INLINE_MEMBER static ElementCode QuickCode(T stored, const Table& table) {
    const float x = Widen(stored), scaled = Multiply(x, table.inverse_step);
    const float sum = PlusRounder(scaled);
    const float decoded = StoredFinite<T>(Multiply(Subtract(sum, kRounder), table.decode.step));
    const bool inside = fabsf(Subtract(x, decoded)) < table.bound;
    // Where it overflows the element is not inside of that range either.
    const uint32_t k =
        static_cast<uint32_t>(WholeOf(sum)) - static_cast<uint32_t>(table.decode.center);
    return {Zigzag(static_cast<int32_t>(k)), inside && fabsf(scaled) < 0x1p22f, x != 0};
  }

  ENCKE_INLINE_MEMBER static float ValueOf(int32_t k, const DecodeTable& table) {
    return Multiply(static_cast<float>(k + table.center), table.step);
  }
};

struct MaskRule {
  static constexpr QuantizerMode kMode = QuantizerMode::MASK;
  static constexpr bool kZigzag = false;
  using Table = UniformTable;
  using DecodeTable = UniformDecodeTable;

  template <typename T>
  ENCKE_INLINE_MEMBER static ElementCode Quantize(T stored, const Table& table) {
    const float x = Widen(stored);
    const bool active = x > 0;
    const float up = ceilf(Multiply(x, table.inverse_step));
    const float cell = up > 1.0f ? up : 1.0f;
    const bool fits = cell <= static_cast<float>(simd::kCodeLimit);
    const uint32_t code = active && fits ? static_cast<uint32_t>(cell) : 0;
    const float decoded = active ? Stored<T>(Multiply(cell - 0.5f, table.decode.step)) : 0.0f;
    return CheckedCode(x, code, decoded, table.bound, !active || (fits && decoded > 0), x != 0);
  }

  // What an active element decodes to is above 0 where it is inside the bound: that is 0, and then
  // nothing is inside, or so large (Quantizer) that half a step does not round to 0.
  template <typename T>
  ENCKE_INLINE_MEMBER static ElementCode QuickCode(T stored, const Table& table) {
    const float x = Widen(stored);
    const bool active = x > 0;
    const float up = PlusRounderUp(Multiply(x, table.inverse_step));
    const float sum = up > kRounder + 1 ? up : kRounder + 1;
    const float middle =
        StoredFinite<T>(Multiply(Subtract(sum, kRounder) - 0.5f, table.decode.step));
    const float decoded = active ? middle : 0.0f;
    const bool inside = fabsf(Subtract(x, decoded)) < table.bound;
    return {active ? static_cast<uint32_t>(WholeOf(sum)) : 0, inside, x != 0};
  }

  ENCKE_INLINE_MEMBER static float ValueOf(int32_t k, const DecodeTable& table) {
    return k > 0 ? Multiply(static_cast<float>(k) - 0.5f, table.step) : 0.0f;
  }
};

// Step and width are negative, if only -0, where active elements lie below the threshold.
struct alignas(16) ActivityDecodeTable {
  float threshold;
  float step, width;
  int32_t centroids;  // QuantizerTables
};

struct alignas(16) ActivityTable {
  ActivityDecodeTable decode;
  float bound, inverse_step;            // of active elements
  float inactive_bound, inverse_width;  // of inactive cells
};

struct ActivityRule {
  static constexpr QuantizerMode kMode = QuantizerMode::ACTIVITY;
  static constexpr bool kZigzag = true;
  using Table = ActivityTable;
  using DecodeTable = ActivityDecodeTable;

  template <typename T>
  ENCKE_INLINE_MEMBER static ElementCode Quantize(T stored, const Table& table) {
    const float x = Widen(stored), distance = Distance(x, table);
    const bool active = distance > 0;
    const float up = ceilf(Multiply(distance, active ? table.inverse_step : table.inverse_width));
    const float cell = active && !(up > 1.0f) ? 1.0f : up;
    const bool fits = fabsf(cell) <= static_cast<float>(simd::kCellLimit);
    const int32_t k = fits ? static_cast<int32_t>(cell) : 0;
    const float decoded = Stored<T>(ValueOf(k, table.decode));
    const bool after = Distance(decoded, table) > 0;
    return CheckedCode(x, Zigzag(k), decoded, active ? table.bound : table.inactive_bound,
                       fits && after == active, active);
  }

  template <typename T>
  ENCKE_INLINE_MEMBER static ElementCode QuickCode(T stored, const Table& table) {
    const float x = Widen(stored), distance = Distance(x, table);
    const bool active = distance > 0;
    const float up =
        PlusRounderUp(Multiply(distance, active ? table.inverse_step : table.inverse_width));
    const float sum = active && !(up > kRounder + 1) ? kRounder + 1 : up;
    const int32_t k = WholeOf(sum);
    const float decoded = StoredFinite<T>(ValueAt(k, Subtract(sum, kRounder), table.decode));
    const bool after = Distance(decoded, table) > 0;
    const float bound = active ? table.bound : table.inactive_bound;
    const bool inside = fabsf(Subtract(x, decoded)) < bound;
    return {Zigzag(k), inside && after == active, active};
  }

  ENCKE_INLINE_MEMBER static float ValueOf(int32_t k, const DecodeTable& table) {
    return ValueAt(k, static_cast<float>(k), table);
  }

 private:
  // `cell`: k.
  ENCKE_INLINE_MEMBER static float ValueAt(int32_t k, float cell, const DecodeTable& table) {
    const auto offset = static_cast<float>(simd::CentroidOffset(table.centroids, k));
    // Exact, in whatever way it is contracted.
    const float cells = cell - 0.5f - offset * simd::kCentroidUnit;
    return Add(table.threshold, Multiply(cells, k > 0 ? table.step : table.width));
  }

  // Of x above the threshold, or where the step is negative (-0 included), below.
  ENCKE_INLINE_MEMBER static float Distance(float x, const Table& table) {
    float distance;
    SetBits(BitsOf(Subtract(x, table.decode.threshold)) ^ (BitsOf(table.decode.step) & 0x80000000),
            &distance);
    return distance;
  }
};

template <typename Rule>
ENCKE_INLINE float Dequantize(uint32_t code, const typename Rule::DecodeTable& table) {
  return Rule::ValueOf(Rule::kZigzag ? Unzigzag(code) : static_cast<int32_t>(code), table);
}

// Four codes below 256, a byte each, to the k of each.
template <typename Rule>
struct ByteCodes {
  uint32_t bytes;

  ENCKE_INLINE_MEMBER explicit ByteCodes(uint32_t codes)
      : bytes(Rule::kZigzag ? (codes >> 1 & 0x7f7f7f7f) ^ (codes & 0x01010101) * 255 : codes) {}
  ENCKE_INLINE_MEMBER int32_t operator[](int i) const {
    const uint32_t byte = bytes >> 8 * i;
    return Rule::kZigzag ? static_cast<int32_t>(static_cast<int8_t>(byte))
                         : static_cast<int32_t>(byte & 255);
  }
};

// A rule's constants for all elements: one entry a channel, repeated up to `period` + 64 entries,
// so that those of 64 consecutive elements lie side by side wherever they start. The entries'
// DecodeTables follow, as many.
template <typename Rule>
struct RuleTables {
  using RuleType = Rule;

  const typename Rule::Table* entries;
  uint32_t period;

  // Which of the entries is that of `element` (of a chunk).
  ENCKE_INLINE_MEMBER uint32_t IndexOf(uint32_t element) const {
    return period == 1 ? 0 : element % period;
  }
  // The entries of the elements from `element` on. REQUIRES: at most 64 are read.
  ENCKE_INLINE_MEMBER const typename Rule::Table* From(uint32_t element) const {
    return entries + IndexOf(element);
  }
  ENCKE_INLINE_MEMBER const typename Rule::DecodeTable* decode() const {
    return reinterpret_cast<const typename Rule::DecodeTable*>(entries + period + kBlockElements);
  }
};

}  // namespace encke::cuda
