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
  return EncodeWith(coding.quantizer.Expand(), data, dtype, chunk, coding, out, statistics);
}

void FastCodec::EncodeStreams(DType dtype, const ValueCoding& coding, EncodeRequest* requests,
                              int count) const {
  const ExpandedQuantizer expanded = coding.quantizer.Expand();
  for (EncodeRequest* r = requests; r != requests + count; ++r) {
    r->size = EncodeWith(expanded, r->data, dtype, r->shape, coding, r->out, &r->statistics);
  }
}

int64_t FastCodec::EncodeWith(const ExpandedQuantizer& expanded, const void* data, DType dtype,
                              const Shape& chunk, const ValueCoding& coding, uint8_t* out,
                              EncodeStatistics* statistics) const {
  ENCKE_CHECK(dtype == DType::F32 || dtype == DType::BF16, NameOf(dtype));
  const int64_t elements = chunk.elements(), bytes = elements * SizeOf(dtype);
  const Quantizer& quantizer = coding.quantizer;
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
  DecodeWith(coding.quantizer.Expand(), stream, size, dtype, chunk, coding, data);
}

void FastCodec::DecodeStreams(DType dtype, const ValueCoding& coding, const DecodeRequest* requests,
                              int count) const {
  const ExpandedQuantizer expanded = coding.quantizer.Expand();
  for (const DecodeRequest* r = requests; r != requests + count; ++r) {
    DecodeWith(expanded, r->stream, r->size, dtype, r->shape, coding, r->data);
  }
}

void FastCodec::DecodeWith(const ExpandedQuantizer& expanded, const uint8_t* stream, int64_t size,
                           DType dtype, const Shape& chunk, const ValueCoding& coding,
                           void* data) const {
  ENCKE_CHECK(dtype == DType::F32 || dtype == DType::BF16, NameOf(dtype));
  const int64_t elements = chunk.elements();
  const StreamKind kind = ReadStreamHead(stream, size);
  if (kind == StreamKind::COPY) return ReadCopy(stream, size, elements * SizeOf(dtype), data);
  if (kind != StreamKind::FAST) ThrowCorruption("a compressed chunk is not one of codec fast");
  const simd::DecodeJob job = {stream + kStreamHead,
                               size - kStreamHead,
                               expanded.tables(),
                               coding.quantizer.mode(),
                               data,
                               elements};
  if (!kernels_.decode_fast(dtype, job)) ThrowCorruption("a compressed chunk is broken");
}

}  // namespace encke
