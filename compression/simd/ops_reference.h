// Block operations in plain C++: what the vector versions have to reproduce, bit for bit.
#pragma once

#include <cmath>

#include "compression/simd/block.h"

namespace encke::simd {
namespace {

struct ReferenceOps {
  struct Codes {
    uint8_t v[kBlockElements];
  };

  // A quantised block. `high` counts only in a wide block, one with a code above 255.
  struct Quantized {
    Codes low, high;
    uint64_t escapes;
    bool wide;
  };

  struct Sums {
    double squares[kSumLanes] = {};
    int64_t nonzero = 0, escapes = 0;

    void AddTo(ChunkSums* sums) const {
      for (double s : squares) sums->squares += s;
      sums->nonzero += nonzero;
      sums->escapes += escapes;
    }
  };

  static Codes Zero() { return {}; }

  static Codes LoadCodes(const uint8_t* in) {
    Codes codes;
    std::memcpy(codes.v, in, sizeof(codes.v));
    return codes;
  }
  static void StoreCodes(const Codes& codes, uint8_t* out) {
    std::memcpy(out, codes.v, sizeof(codes.v));
  }

  static uint64_t AtLeast(const Codes& codes, int least) {
    uint64_t bits = 0;
    for (int i = 0; i < kBlockElements; ++i) {
      bits |= static_cast<uint64_t>(codes.v[i] >= least) << i;
    }
    return bits;
  }

  static uint64_t Plane(const Codes& codes, int plane) {
    uint64_t bits = 0;
    for (int i = 0; i < kBlockElements; ++i) {
      bits |= static_cast<uint64_t>(codes.v[i] >> plane & 1) << i;
    }
    return bits;
  }

  static uint32_t SumShifted(const Codes& codes, int shift) {
    uint32_t sum = 0;
    for (uint8_t code : codes.v) sum += code >> shift;
    return sum;
  }

  // Zero stays zero.
  static Codes MinusOne(Codes codes) {
    for (uint8_t& code : codes.v) code -= code > 0;
    return codes;
  }

  static void AddWhere(uint64_t where, int value, Codes* codes) {
    for (int i = 0; i < kBlockElements; ++i) {
      codes->v[i] = static_cast<uint8_t>(codes->v[i] + (where >> i & 1) * value);
    }
  }

  // The bits of `bits` where `mask` is set, moved together at the bottom.
  static uint64_t Pext(uint64_t bits, uint64_t mask) {
    uint64_t packed = 0;
    for (int i = 0; mask != 0; mask &= mask - 1, ++i) {
      packed |= (bits >> __builtin_ctzll(mask) & 1) << i;
    }
    return packed;
  }

  static uint64_t Pdep(uint64_t packed, uint64_t mask) {
    uint64_t bits = 0;
    for (; mask != 0; mask &= mask - 1, packed >>= 1) {
      bits |= (packed & 1) << __builtin_ctzll(mask);
    }
    return bits;
  }

  static float Load(float x) { return x; }
  static float Load(uint16_t x) {
    float value;
    SetBits(static_cast<uint32_t>(x) << 16, &value);
    return value;
  }

  // What `value` becomes when it is stored as the second argument's type.
  static float Stored(float value, float) { return value; }
  static float Stored(float value, uint16_t) { return Load(Narrow(value)); }

  static uint16_t Narrow(float value) {
    const uint32_t bits = BitsOf(value);
    return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
  }
  static void Store(float value, float* out) { *out = value; }
  static void Store(float value, uint16_t* out) { *out = Narrow(value); }

  struct Element {
    uint32_t code;
    bool good;  // inside the bound; otherwise an escape
  };

  template <bool kMask, typename T>
  static Element QuantizeOne(T stored, const QuantizerTables& t, int i) {
    const float x = Load(stored), step = t.step[i];
    const float scaled = x * t.inverse_step[i];
    uint32_t code;
    float decoded;
    bool sign_kept = true;
    if (kMask) {
      const bool active = x > 0;
      const float cell = std::ceil(scaled) > 1.0f ? std::ceil(scaled) : 1.0f;
      code = active && cell <= kCodeLimit ? static_cast<uint32_t>(cell) : 0;
      decoded = active ? Stored((cell - 0.5f) * step, stored) : 0.0f;
      sign_kept = (decoded > 0) == active && !(active && code == 0);
    } else {
      const bool fits = std::fabs(scaled) <= 0x1p23f;
      const int32_t k = fits ? static_cast<int32_t>(std::nearbyint(scaled)) : 0;
      const int32_t offset = k - t.center[i];
      code = static_cast<uint32_t>(offset) << 1 ^ static_cast<uint32_t>(offset >> 31);
      decoded = Stored(static_cast<float>(k) * step, stored);
      sign_kept = fits && code <= kCodeLimit;
    }
    const bool inside = std::fabs(x - decoded) < t.bound[i];
    const bool good = sign_kept && (inside || (BitsOf(stored) == 0 && decoded == 0));
    return {good ? code : 0, good};
  }

  template <bool kMask, typename T>
  static Quantized Quantize(const T* x, const QuantizerTables& tables, Sums* sums) {
    Quantized block = {};
    float squares[kSumLanes] = {};
    for (int i = 0; i < kBlockElements; ++i) {
      const Element element = QuantizeOne<kMask>(x[i], tables, i);
      block.low.v[i] = static_cast<uint8_t>(element.code);
      block.high.v[i] = static_cast<uint8_t>(element.code >> 8);
      block.wide |= element.code > 255;
      block.escapes |= static_cast<uint64_t>(!element.good) << i;
      const float value = Load(x[i]);
      sums->nonzero += value != 0;
      if (std::isfinite(value)) squares[i % kSumLanes] += value * value;
    }
    sums->escapes += Popcount(block.escapes);
    for (int i = 0; i < kSumLanes; ++i) sums->squares[i] += squares[i];
    return block;
  }

  template <bool kMask, typename T>
  static void Dequantize(const Quantized& block, const QuantizerTables& t, T* out) {
    for (int i = 0; i < kBlockElements; ++i) {
      const int32_t code = block.low.v[i] + (block.wide ? block.high.v[i] * 256 : 0);
      const int32_t k = (code >> 1 ^ -(code & 1)) + t.center[i];
      const float cell = static_cast<float>(code) - 0.5f;
      const float value = static_cast<float>(k) * t.step[i];
      Store(kMask ? (code > 0 ? cell * t.step[i] : 0.0f) : value, out + i);
    }
  }
};

}  // namespace
}  // namespace encke::simd
