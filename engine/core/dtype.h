// Element types of tensors, and bfloat16 as a storage type.
#pragma once

#include <cstdint>
#include <cstring>

#include "engine/core/host_device.h"

namespace encke {

enum class DType { F32, BF16, U8, I32 };

constexpr int64_t SizeOf(DType dtype) {
  switch (dtype) {
    case DType::F32:
    case DType::I32:
      return 4;
    case DType::BF16:
      return 2;
    case DType::U8:
      return 1;
  }
  return 0;
}

const char* NameOf(DType dtype);  // "fp32", "bf16", "u8", "i32"

// The upper half of a float. Conversion from float rounds to nearest even; NaN stays NaN.
struct bfloat16 {
  uint16_t bits = 0;

  bfloat16() = default;
  ENCKE_HOST_DEVICE explicit bfloat16(float value) {
    uint32_t u;
    std::memcpy(&u, &value, sizeof(u));
    const bool nan = (u & 0x7fffffffu) > 0x7f800000u;
    bits = nan ? static_cast<uint16_t>((u >> 16) | 0x40u)
               : static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
  }
  ENCKE_HOST_DEVICE explicit operator float() const {
    const uint32_t u = static_cast<uint32_t>(bits) << 16;
    float value;
    std::memcpy(&value, &u, sizeof(value));
    return value;
  }
};
static_assert(sizeof(bfloat16) == 2, "bfloat16 is a storage type of two bytes");

template <typename T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::F32;
};
template <>
struct DTypeOf<bfloat16> {
  static constexpr DType value = DType::BF16;
};
template <>
struct DTypeOf<uint8_t> {
  static constexpr DType value = DType::U8;
};
template <>
struct DTypeOf<int32_t> {
  static constexpr DType value = DType::I32;
};

}  // namespace encke
