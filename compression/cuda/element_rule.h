// How one element becomes a code and a code an element, on both sides of the codec; the rules of
// compression/quantizer.h in the form that a GPU's lane applies them.
//
// A rule is a type with
//   kMask                          whether codes are cells above 0 (else zigzag numbers)
//   Table                          its constants for one channel, 16-byte aligned
//   Quantize(x, table)             the code, or not good: an escape
//   Dequantize(code, table)        the decoded element, not yet rounded to its type
// Elements are float, or uint16_t for bfloat16.
#pragma once

#include "compression/cuda/portable.h"

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
  bool good;
};

struct alignas(16) UniformTable {
  float bound;
  float step;
  float inverse_step;
  int32_t center;
};

// Inside the bound, or +0 as it was.
template <typename T>
ENCKE_INLINE bool Keeps(T stored, float decoded, float bound) {
  const bool inside = fabsf(Subtract(Widen(stored), decoded)) < bound;
  return inside || (BitsOf(stored) == 0 && decoded == 0);
}

struct SignedRule {
  static constexpr bool kMask = false;
  using Table = UniformTable;

  template <typename T>
  ENCKE_INLINE_MEMBER static ElementCode Quantize(T stored, const Table& table) {
    const float scaled = Multiply(Widen(stored), table.inverse_step);
    const bool fits = fabsf(scaled) <= 0x1p23f;
    const int32_t k = fits ? static_cast<int32_t>(rintf(scaled)) : 0;
    const int32_t offset = k - table.center;
    const uint32_t code = static_cast<uint32_t>(offset) << 1 ^ static_cast<uint32_t>(offset >> 31);
    const float decoded = Stored<T>(Multiply(static_cast<float>(k), table.step));
    const bool good = fits && code <= simd::kCodeLimit && Keeps(stored, decoded, table.bound);
    return {good ? code : 0, good};
  }

  ENCKE_INLINE_MEMBER static float Dequantize(uint32_t code, const Table& table) {
    const int32_t offset = static_cast<int32_t>(code >> 1) ^ -static_cast<int32_t>(code & 1);
    return Multiply(static_cast<float>(offset + table.center), table.step);
  }
};

struct MaskRule {
  static constexpr bool kMask = true;
  using Table = UniformTable;

  template <typename T>
  ENCKE_INLINE_MEMBER static ElementCode Quantize(T stored, const Table& table) {
    const float x = Widen(stored);
    const bool active = x > 0;
    const float up = ceilf(Multiply(x, table.inverse_step));
    const float cell = up > 1.0f ? up : 1.0f;
    const uint32_t code =
        active && cell <= static_cast<float>(simd::kCodeLimit) ? static_cast<uint32_t>(cell) : 0;
    const float decoded = active ? Stored<T>(Multiply(cell - 0.5f, table.step)) : 0.0f;
    const bool sign_kept = (decoded > 0) == active && !(active && code == 0);
    const bool good = sign_kept && Keeps(stored, decoded, table.bound);
    return {good ? code : 0, good};
  }

  ENCKE_INLINE_MEMBER static float Dequantize(uint32_t code, const Table& table) {
    return code > 0 ? Multiply(static_cast<float>(code) - 0.5f, table.step) : 0.0f;
  }
};

// A rule's constants for all elements: one entry a channel, repeated up to `period` + 64 entries,
// so that those of 64 consecutive elements lie side by side wherever they start.
template <typename Rule>
struct RuleTables {
  const typename Rule::Table* entries;
  uint32_t period;

  // The entries of the elements from `element` (of a chunk) on. REQUIRES: at most 64 are read.
  ENCKE_INLINE_MEMBER const typename Rule::Table* From(uint32_t element) const {
    return entries + (period == 1 ? 0 : element % period);
  }
};

}  // namespace encke::cuda
