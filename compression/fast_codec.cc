#include "compression/fast_codec.h"

#include <cmath>

#include "compression/quantizer.h"
#include "compression/stream.h"
#include "engine/core/error.h"

namespace encke {

int64_t FastCodec::MaxEncodedSize(const Shape& chunk, DType dtype) const {
  return kStreamHead + chunk.elements() * SizeOf(dtype) + simd::kMaxOvershoot;
}

int64_t FastCodec::Encode(const void* data, DType dtype, const Shape& chunk,
                          const Quantizer& quantizer, uint8_t* out,
                          EncodeStatistics* statistics) const {
  ENCKE_CHECK(dtype == DType::F32 || dtype == DType::BF16, NameOf(dtype));
  const int64_t elements = chunk.elements(), bytes = elements * SizeOf(dtype);
  uint8_t* rest = WriteStreamHead(StreamKind::FAST, out);
  simd::ChunkSums sums;
  const int64_t size = kernels_.encode_fast(
      dtype, {data, elements, quantizer.tables(), quantizer.mask(), rest, bytes - 1}, &sums);
  const bool coded = size >= 0;
  if (!coded || !std::isfinite(sums.squares)) {
    *statistics = CountElements(data, dtype, elements);
    statistics->escapes = coded ? sums.escapes : elements;
  } else {
    *statistics = {elements, sums.nonzero, sums.escapes, sums.squares};
  }
  return coded ? kStreamHead + size : WriteCopy(data, bytes, out);
}

void FastCodec::Decode(const uint8_t* stream, int64_t size, DType dtype, const Shape& chunk,
                       const Quantizer& quantizer, void* data) const {
  ENCKE_CHECK(dtype == DType::F32 || dtype == DType::BF16, NameOf(dtype));
  const int64_t elements = chunk.elements();
  const StreamKind kind = ReadStreamHead(stream, size);
  if (kind == StreamKind::COPY) return ReadCopy(stream, size, elements * SizeOf(dtype), data);
  if (kind != StreamKind::FAST) ThrowCorruption("a compressed chunk is not one of codec fast");
  const simd::DecodeJob job = {stream + kStreamHead,
                               size - kStreamHead,
                               quantizer.tables(),
                               quantizer.mask(),
                               data,
                               elements};
  if (!kernels_.decode_fast(dtype, job)) ThrowCorruption("a compressed chunk is broken");
}

}  // namespace encke
