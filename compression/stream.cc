#include "compression/stream.h"

#include <xxhash.h>

#include <cmath>
#include <cstring>

#include "engine/core/error.h"

namespace encke {
namespace {

constexpr int kFormatVersion = 1;
constexpr uint8_t kChecksumFlag = 8;
constexpr uint8_t kKindBits = 7;

// Canonical: big-endian, as xxHash writes hashes.
XXH64_canonical_t ChecksumOf(const uint8_t* stream, int64_t size) {
  XXH64_canonical_t canonical;
  XXH64_canonicalFromHash(&canonical, XXH3_64bits(stream, size));
  return canonical;
}

template <typename T>
void Count(const T* data, int64_t count, const Activity& activity, EncodeStatistics* statistics) {
  const auto channels = static_cast<int64_t>(activity.threshold.size());
  for (int64_t i = 0; i < count; ++i) {
    const auto value = static_cast<float>(data[i]);
    const double x = value;
    statistics->nonzero += activity.empty() ? x != 0 : activity.Active(value, i % channels);
    if (std::isfinite(x)) statistics->sum_of_squares += x * x;
  }
}

}  // namespace

uint8_t* WriteStreamHead(StreamKind kind, uint8_t* out) {
  *out = static_cast<uint8_t>(kFormatVersion << 4 | static_cast<int>(kind));
  return out + kStreamHead;
}

StreamKind ReadStreamHead(const uint8_t* stream, int64_t size) {
  if (size < kStreamHead) ThrowCorruption("a compressed chunk is empty");
  const int version = stream[0] >> 4, kind = stream[0] & kKindBits;
  if (version != kFormatVersion) {
    ThrowCorruption(StrCat("a compressed chunk has format version ", version,
                           ", this program reads ", kFormatVersion));
  }
  return static_cast<StreamKind>(kind);
}

int64_t AppendChecksum(uint8_t* stream, int64_t size) {
  stream[0] |= kChecksumFlag;
  const XXH64_canonical_t checksum = ChecksumOf(stream, size);
  std::memcpy(stream + size, &checksum, kChecksumBytes);
  return size + kChecksumBytes;
}

int64_t VerifyChecksum(const uint8_t* stream, int64_t size, bool expected) {
  const bool present = size >= kStreamHead && (stream[0] & kChecksumFlag) != 0;
  if (present != expected) {
    ThrowCorruption(expected ? "a compressed chunk lacks its checksum"
                             : "a compressed chunk has a checksum where none was written");
  }
  if (!expected) return size;
  const int64_t without = size - kChecksumBytes;
  if (without < kStreamHead) ThrowCorruption("a compressed chunk ends within its checksum");
  const XXH64_canonical_t checksum = ChecksumOf(stream, without);
  if (std::memcmp(&checksum, stream + without, kChecksumBytes) != 0) {
    ThrowCorruption("a compressed chunk has changed since it was written: wrong checksum");
  }
  return without;
}

int64_t WriteCopy(const void* data, int64_t bytes, uint8_t* out) {
  uint8_t* rest = WriteStreamHead(StreamKind::COPY, out);
  if (bytes > 0) std::memcpy(rest, data, bytes);
  return kStreamHead + bytes;
}

void ReadCopy(const uint8_t* stream, int64_t size, int64_t bytes, void* data) {
  if (size != kStreamHead + bytes) {
    ThrowCorruption(StrCat("a copied chunk has ", size, " bytes, not ", kStreamHead + bytes));
  }
  if (bytes > 0) std::memcpy(data, stream + kStreamHead, bytes);
}

void ThrowCorruption(const std::string& message) { throw Error(ErrorKind::CORRUPTION, message); }

EncodeStatistics StatisticsOf(const simd::ChunkSums& sums, const void* data, DType dtype,
                              int64_t count, const Quantizer& quantizer) {
  if (std::isfinite(sums.squares)) return {count, sums.nonzero, sums.escapes, sums.squares};
  EncodeStatistics statistics = CountElements(data, dtype, count, quantizer);
  statistics.escapes = sums.escapes;
  return statistics;
}

EncodeStatistics CountElements(const void* data, DType dtype, int64_t count,
                               const Quantizer& quantizer) {
  EncodeStatistics statistics;
  statistics.elements = count;
  if (dtype == DType::F32) {
    Count(static_cast<const float*>(data), count, quantizer.activity(), &statistics);
  } else {
    Count(static_cast<const bfloat16*>(data), count, quantizer.activity(), &statistics);
  }
  return statistics;
}

}  // namespace encke
