#include "compression/codec.h"

#include "compression/dense_codec.h"
#include "compression/fast_codec.h"
#include "compression/jpeg_codec.h"
#include "compression/lossless_codec.h"
#include "compression/quant_codec.h"
#include "compression/raw_codec.h"
#include "compression/simd/dispatch.h"
#include "compression/stream.h"
#include "compression/value_coding.h"

namespace encke {
namespace {

// The one table of codecs.
const std::vector<const Codec*>& Codecs() {
  static const RawCodec raw;
  static const FastCodec fast(simd::BestKernels());
  static const DenseCodec dense(simd::BestKernels());
  static const LosslessCodec lossless;
  static const QuantCodec quant2(2), quant4(4), quant8(8);
  static const JpegCodec jpeg;
  static const std::vector<const Codec*> codecs = {&raw,    &fast,   &dense,  &lossless,
                                                   &quant2, &quant4, &quant8, &jpeg};
  return codecs;
}

}  // namespace

float CodecOptions::BoundOf(float x, int64_t channel) const {
  const bool active =
      activity.empty() || (activity.sign[channel] != 0 && activity.Active(x, channel));
  if (!active) return activity.inactive_bound[channel];
  return bound.channel.empty() ? bound.uniform : bound.channel[channel];
}

void EncodeStatistics::Add(const EncodeStatistics& other) {
  elements += other.elements;
  nonzero += other.nonzero;
  escapes += other.escapes;
  sum_of_squares += other.sum_of_squares;
}

void Codec::Prepare(const std::vector<ChunkView>&, DType, ValueCoding*) const {}

int64_t Codec::MaxEncodedSize(const Shape& chunk, DType dtype) const {
  return MaxStreamSize(chunk, dtype) + kChecksumBytes;
}

void Codec::Encode(DType dtype, const ValueCoding& coding, EncodeRequest* requests,
                   int count) const {
  EncodeStreams(dtype, coding, requests, count);
  if (!coding.checksum) return;
  for (int i = 0; i < count; ++i) {
    requests[i].size = AppendChecksum(requests[i].out, requests[i].size);
  }
}

int64_t Codec::Encode(const void* data, DType dtype, const Shape& chunk, const ValueCoding& coding,
                      uint8_t* out, EncodeStatistics* statistics) const {
  EncodeRequest request = {data, chunk, out, 0, {}};
  Encode(dtype, coding, &request, 1);
  *statistics = request.statistics;
  return request.size;
}

void Codec::Decode(DType dtype, const ValueCoding& coding, const DecodeRequest* requests,
                   int count) const {
  std::vector<DecodeRequest> verified(requests, requests + count);
  for (DecodeRequest& r : verified) r.size = VerifyChecksum(r.stream, r.size, coding.checksum);
  DecodeStreams(dtype, coding, verified.data(), count);
}

void Codec::Decode(const uint8_t* stream, int64_t size, DType dtype, const Shape& chunk,
                   const ValueCoding& coding, void* data) const {
  const DecodeRequest request = {stream, size, chunk, data};
  Decode(dtype, coding, &request, 1);
}

void Codec::EncodeStreams(DType dtype, const ValueCoding& coding, EncodeRequest* requests,
                          int count) const {
  for (EncodeRequest* r = requests; r != requests + count; ++r) {
    r->size = EncodeStream(r->data, dtype, r->shape, coding, r->out, &r->statistics);
  }
}

void Codec::DecodeStreams(DType dtype, const ValueCoding& coding, const DecodeRequest* requests,
                          int count) const {
  for (const DecodeRequest* r = requests; r != requests + count; ++r) {
    DecodeStream(r->stream, r->size, dtype, r->shape, coding, r->data);
  }
}

const Codec* FindCodec(const std::string& name) {
  for (const Codec* codec : Codecs()) {
    if (codec->name() == name) return codec;
  }
  return nullptr;
}

std::vector<std::string> CodecNames() {
  std::vector<std::string> names;
  for (const Codec* codec : Codecs()) names.push_back(codec->name());
  return names;
}

std::string CodecForExact(const std::string& name) {
  return FindCodec(name)->bounded() ? name : "lossless";
}

}  // namespace encke
