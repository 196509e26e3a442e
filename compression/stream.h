// The first byte of every stream, which tells format version and what follows, and the checksum at
// the end of those that have one (doc/codec-format.md).
#pragma once

#include <cstdint>

#include "compression/codec.h"
#include "compression/quantizer.h"
#include "compression/simd/kernels.h"

namespace encke {

enum class StreamKind : uint8_t {
  COPY = 0,  // the elements as they are
  FAST = 1,
  DENSE = 2,
  LOSSLESS = 3,
  QUANT = 4,
  JPEG = 5,
};

constexpr int64_t kStreamHead = 1;
constexpr int64_t kChecksumBytes = 8;

// Writes the head and returns where the rest goes.
uint8_t* WriteStreamHead(StreamKind kind, uint8_t* out);
// Error(CORRUPTION) for an empty stream or another version; the kind may be one nobody knows.
StreamKind ReadStreamHead(const uint8_t* stream, int64_t size);

// Flags the checksum in the head and writes it behind the stream, where kChecksumBytes are free.
// Returns the new length. REQUIRES: a stream without a checksum.
int64_t AppendChecksum(uint8_t* stream, int64_t size);
// The stream's length without its checksum. Error(CORRUPTION) when the checksum is wrong, missing
// though `expected`, or there though not.
int64_t VerifyChecksum(const uint8_t* stream, int64_t size, bool expected);

// A stream of kind COPY, head included; returns its length.
int64_t WriteCopy(const void* data, int64_t bytes, uint8_t* out);
// REQUIRES: the head says COPY. Error(CORRUPTION) unless exactly `bytes` follow it.
void ReadCopy(const uint8_t* stream, int64_t size, int64_t bytes, void* data);

[[noreturn]] void ThrowCorruption(const std::string& message);

// What a kernel summed up, as statistics; looks at the elements again where the sum is not finite.
EncodeStatistics StatisticsOf(const simd::ChunkSums& sums, const void* data, DType dtype,
                              int64_t count, const Quantizer& quantizer);
// nonzero and sum_of_squares of `count` elements, element by element.
EncodeStatistics CountElements(const void* data, DType dtype, int64_t count,
                               const Quantizer& quantizer);

}  // namespace encke
