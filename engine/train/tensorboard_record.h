// The framing of TensorBoard's event files, which is TFRecord's:
//
//   u64 length | u32 crc of the length | payload, `length` bytes | u32 crc of the payload
//
// all little-endian. A crc is CRC-32C (Castagnoli), masked so that the crc of bytes that hold crcs
// is a good one still.
#pragma once

#include <cstdint>
#include <string>

namespace encke {

// CRC-32C of the bytes, not masked: 0xE3069283 for "123456789".
uint32_t Crc32c(const std::string& bytes);

// The record that holds `payload`.
std::string FrameRecord(const std::string& payload);

}  // namespace encke
