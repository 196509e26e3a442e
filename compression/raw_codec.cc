#include "compression/raw_codec.h"

#include "compression/stream.h"
#include "compression/value_coding.h"

namespace encke {

int64_t RawCodec::MaxStreamSize(const Shape& chunk, DType dtype) const {
  return kStreamHead + chunk.elements() * SizeOf(dtype);
}

int64_t RawCodec::EncodeStream(const void* data, DType dtype, const Shape& chunk,
                               const ValueCoding& coding, uint8_t* out,
                               EncodeStatistics* statistics) const {
  *statistics = CountElements(data, dtype, chunk.elements(), coding.quantizer);
  return WriteCopy(data, chunk.elements() * SizeOf(dtype), out);
}

void RawCodec::DecodeStream(const uint8_t* stream, int64_t size, DType dtype, const Shape& chunk,
                            const ValueCoding&, void* data) const {
  if (ReadStreamHead(stream, size) != StreamKind::COPY) {
    ThrowCorruption("a compressed chunk is not one of codec raw");
  }
  ReadCopy(stream, size, chunk.elements() * SizeOf(dtype), data);
}

}  // namespace encke
