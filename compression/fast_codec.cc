#include "compression/fast_codec.h"

#include "compression/stream.h"
#include "compression/value_coding.h"
#include "engine/core/error.h"

namespace encke {

int64_t FastCodec::MaxStreamSize(const Shape& chunk, DType dtype) const {
  return kStreamHead + chunk.elements() * SizeOf(dtype) + simd::kMaxOvershoot;
}

int64_t FastCodec::EncodeStream(const void* data, DType dtype, const Shape& chunk,
                                const ValueCoding& coding, uint8_t* out,
                                EncodeStatistics* statistics) const {
  ENCKE_CHECK(dtype == DType::F32 || dtype == DType::BF16, NameOf(dtype));
  const int64_t elements = chunk.elements(), bytes = elements * SizeOf(dtype);
  const Quantizer& quantizer = coding.quantizer;
  const ExpandedQuantizer expanded = quantizer.Expand();
  uint8_t* rest = WriteStreamHead(StreamKind::FAST, out);
  simd::ChunkSums sums;
  const int64_t size = kernels_.encode_fast(
      dtype, {data, elements, expanded.tables(), quantizer.mode(), rest, bytes - 1}, &sums);
  if (size < 0) {
    *statistics = CountElements(data, dtype, elements, quantizer);
    statistics->escapes = elements;
    return WriteCopy(data, bytes, out);
  }
  *statistics = StatisticsOf(sums, data, dtype, elements, quantizer);
  return kStreamHead + size;
}

void FastCodec::DecodeStream(const uint8_t* stream, int64_t size, DType dtype, const Shape& chunk,
                             const ValueCoding& coding, void* data) const {
  ENCKE_CHECK(dtype == DType::F32 || dtype == DType::BF16, NameOf(dtype));
  const int64_t elements = chunk.elements();
  const StreamKind kind = ReadStreamHead(stream, size);
  if (kind == StreamKind::COPY) return ReadCopy(stream, size, elements * SizeOf(dtype), data);
  if (kind != StreamKind::FAST) ThrowCorruption("a compressed chunk is not one of codec fast");
  const ExpandedQuantizer expanded = coding.quantizer.Expand();
  const simd::DecodeJob job = {stream + kStreamHead,
                               size - kStreamHead,
                               expanded.tables(),
                               coding.quantizer.mode(),
                               data,
                               elements};
  if (!kernels_.decode_fast(dtype, job)) ThrowCorruption("a compressed chunk is broken");
}

}  // namespace encke
