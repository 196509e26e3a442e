#include "compression/lossless_codec.h"

#include <cstring>

#include "compression/stream.h"
#include "compression/value_coding.h"
#include "compression/zstd_bytes.h"

namespace encke {

int64_t LosslessCodec::MaxStreamSize(const Shape& chunk, DType dtype) const {
  return kStreamHead + chunk.elements() * SizeOf(dtype);
}

int64_t LosslessCodec::EncodeStream(const void* data, DType dtype, const Shape& chunk,
                                    const ValueCoding& coding, uint8_t* out,
                                    EncodeStatistics* statistics) const {
  const int64_t elements = chunk.elements(), width = SizeOf(dtype);
  *statistics = CountElements(data, dtype, elements, coding.quantizer);
  const auto* bytes = static_cast<const uint8_t*>(data);
  std::vector<uint8_t> planes(elements * width), packed;
  for (int64_t b = 0; b < width; ++b) {
    for (int64_t i = 0; i < elements; ++i) planes[b * elements + i] = bytes[i * width + b];
  }
  ZstdCompress(planes.data(), planes.size(), &packed);
  if (packed.size() >= planes.size()) return WriteCopy(data, elements * width, out);
  std::memcpy(WriteStreamHead(StreamKind::LOSSLESS, out), packed.data(), packed.size());
  return kStreamHead + static_cast<int64_t>(packed.size());
}

void LosslessCodec::DecodeStream(const uint8_t* stream, int64_t size, DType dtype,
                                 const Shape& chunk, const ValueCoding&, void* data) const {
  const int64_t elements = chunk.elements(), width = SizeOf(dtype);
  const StreamKind kind = ReadStreamHead(stream, size);
  if (kind == StreamKind::COPY) return ReadCopy(stream, size, elements * width, data);
  if (kind != StreamKind::LOSSLESS) ThrowCorruption("a compressed chunk is not a lossless one");
  std::vector<uint8_t> planes(elements * width);
  ZstdDecompress(stream + kStreamHead, size - kStreamHead, planes.size(), planes.data());
  auto* bytes = static_cast<uint8_t*>(data);
  for (int64_t b = 0; b < width; ++b) {
    for (int64_t i = 0; i < elements; ++i) bytes[i * width + b] = planes[b * elements + i];
  }
}

}  // namespace encke
