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

  // table[code] for codes below 16.
  static Codes Lookup(const uint8_t* table, const Codes& codes) {
    Codes found;
    for (int i = 0; i < kBlockElements; ++i) found.v[i] = table[codes.v[i] & 15];
    return found;
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

  static Codes Add(Codes a, const Codes& b) {
    for (int i = 0; i < kBlockElements; ++i) a.v[i] = static_cast<uint8_t>(a.v[i] + b.v[i]);
    return a;
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

  // An element's code, what that decodes to, and whether it may be used so.
  struct Guess {
    uint32_t code;
    float decoded;
    float bound;
    bool valid;
    bool counted;  // as ChunkSums::nonzero
  };

  template <typename T>
  static Guess QuantizeMasked(float x, const QuantizerTables& t, int i, T type) {
    const bool active = x > 0;
    const float up = std::ceil(x * t.inverse_step[i]);
    const float cell = up > 1.0f ? up : 1.0f;
    const bool fits = cell <= kCodeLimit;
    const float decoded = active ? Stored((cell - 0.5f) * t.step[i], type) : 0.0f;
    const uint32_t code = active && fits ? static_cast<uint32_t>(cell) : 0;
    return {code, decoded, t.bound[i], !active || (fits && decoded > 0), x != 0};
  }

  template <typename T>
  static Guess QuantizeSigned(float x, const QuantizerTables& t, int i, T type) {
    const float scaled = x * t.inverse_step[i];
    const bool fits = std::fabs(scaled) <= 0x1p23f;
    const int32_t k = fits ? static_cast<int32_t>(std::nearbyint(scaled)) : 0;
    const uint32_t code = Zigzag(k - t.center[i]);
    const float decoded = Stored(static_cast<float>(k) * t.step[i], type);
    return {code, decoded, t.bound[i], fits && code <= kCodeLimit, x != 0};
  }

  template <typename T>
  static Guess QuantizeActivity(float x, const QuantizerTables& t, int i, T type) {
    const float distance = (x - t.threshold[i]) * t.direction[i];
    const bool active = distance > 0;
    const float up = std::ceil(distance * (active ? t.inverse_step[i] : t.inverse_width[i]));
    const float cell = active && !(up > 1.0f) ? 1.0f : up;
    const bool fits = std::fabs(cell) <= kCellLimit;
    const int32_t k = fits ? static_cast<int32_t>(cell) : 0;
    const float decoded = Stored(ActivityValue(k, t, i), type);
    const bool after = (decoded - t.threshold[i]) * t.direction[i] > 0;
    return {Zigzag(k), decoded, active ? t.bound[i] : t.inactive_bound[i], fits && after == active,
            active};
  }

  static float ActivityValue(int32_t k, const QuantizerTables& t, int i) {
    const auto offset = static_cast<float>(CentroidOffset(t.centroids[i], k));
    const float cells = static_cast<float>(k) - 0.5f - offset * kCentroidUnit;
    const float distance = cells * (k > 0 ? t.step[i] : t.width[i]);
    return t.threshold[i] + distance * t.direction[i];
  }

  static uint32_t Zigzag(int32_t k) {
    return static_cast<uint32_t>(k) << 1 ^ static_cast<uint32_t>(k >> 31);
  }

  template <QuantizerMode kMode, typename T>
  static Guess QuantizeOne(float x, const QuantizerTables& t, int i, T type) {
    if (kMode == QuantizerMode::MASK) return QuantizeMasked(x, t, i, type);
    if (kMode == QuantizerMode::ACTIVITY) return QuantizeActivity(x, t, i, type);
    return QuantizeSigned(x, t, i, type);
  }

  // Within the bound, or equal bit for bit.
  static bool Inside(float x, const Guess& guess) {
    return std::fabs(x - guess.decoded) < guess.bound || BitsOf(x) == BitsOf(guess.decoded);
  }

  // Quantises the elements whose bit in `valid` is set, those before the chunk's end.
  template <QuantizerMode kMode, typename T>
  static Quantized Quantize(const T* x, uint64_t valid, const QuantizerTables& tables, Sums* sums) {
    Quantized block = {};
    float squares[kSumLanes] = {};
    for (int i = 0; i < kBlockElements && (valid >> i & 1) != 0; ++i) {
      const float value = Load(x[i]);
      const Guess guess = QuantizeOne<kMode>(value, tables, i, x[i]);
      const bool good = guess.valid && Inside(value, guess);
      const uint32_t code = good ? guess.code : 0;
      block.low.v[i] = static_cast<uint8_t>(code);
      block.high.v[i] = static_cast<uint8_t>(code >> 8);
      block.wide |= code > 255;
      block.escapes |= static_cast<uint64_t>(!good) << i;
      sums->nonzero += guess.counted;
      squares[i % kSumLanes] += value * value;
    }
    sums->escapes += Popcount(block.escapes);
    for (int i = 0; i < kSumLanes; ++i) sums->squares[i] += squares[i];
    return block;
  }

  template <QuantizerMode kMode, typename T>
  static void Dequantize(const Quantized& block, const QuantizerTables& t, T* out) {
    for (int i = 0; i < kBlockElements; ++i) {
      const int32_t code = block.low.v[i] + (block.wide ? block.high.v[i] * 256 : 0);
      Store(DequantizeOne<kMode>(code, t, i), out + i);
    }
  }

  template <QuantizerMode kMode>
  static float DequantizeOne(int32_t code, const QuantizerTables& t, int i) {
    const int32_t k = code >> 1 ^ -(code & 1);
    if (kMode == QuantizerMode::ACTIVITY) return ActivityValue(k, t, i);
    if (kMode == QuantizerMode::SIGNED) return static_cast<float>(k + t.center[i]) * t.step[i];
    return code > 0 ? (static_cast<float>(code) - 0.5f) * t.step[i] : 0.0f;
  }
};

}  // namespace
}  // namespace encke::simd
