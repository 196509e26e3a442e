// DENSE: quantised codes, entropy coded under the context of their neighbours in the same channel,
// with distributions learnt from a sample of each value. Goes below one bit an element.
#pragma once

#include "compression/codec.h"
#include "compression/fast_codec.h"
#include "compression/simd/kernels.h"

namespace encke {

class DenseCodec : public Codec {
 public:
  // `kernels` must outlive the codec.
  explicit DenseCodec(const simd::Kernels& kernels) : kernels_(kernels), fast_(kernels) {}

  std::string name() const override { return "dense"; }
  int encoded_together() const override { return kEncodedTogether; }
  void Prepare(const std::vector<ChunkView>& sample, DType dtype,
               ValueCoding* coding) const override;
  bool KnowsTables(const std::vector<uint8_t>& tables, QuantizerMode mode) const override;
  int64_t MaxStreamSize(const Shape& chunk, DType dtype) const override;
  int64_t EncodeStream(const void* data, DType dtype, const Shape& chunk, const ValueCoding& coding,
                       uint8_t* out, EncodeStatistics* statistics) const override;
  void DecodeStream(const uint8_t* stream, int64_t size, DType dtype, const Shape& chunk,
                    const ValueCoding& coding, void* data) const override;
  void EncodeStreams(DType dtype, const ValueCoding& coding, EncodeRequest* requests,
                     int count) const override;
  void DecodeStreams(DType dtype, const ValueCoding& coding, const DecodeRequest* requests,
                     int count) const override;

 private:
  const simd::Kernels& kernels_;
  FastCodec fast_;  // for chunks full of escapes
};

}  // namespace encke
