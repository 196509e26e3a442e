// FAST: quantised codes, Rice coded in blocks of 64 elements, bit plane by bit plane. At memory
// speed, and within some 10% of the order-0 entropy of a block's codes.
#pragma once

#include "compression/codec.h"
#include "compression/simd/kernels.h"

namespace encke {

class ExpandedQuantizer;

class FastCodec : public Codec {
 public:
  // `kernels` must outlive the codec.
  explicit FastCodec(const simd::Kernels& kernels) : kernels_(kernels) {}

  std::string name() const override { return "fast"; }
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
  int64_t EncodeWith(const ExpandedQuantizer& expanded, const void* data, DType dtype,
                     const Shape& chunk, const ValueCoding& coding, uint8_t* out,
                     EncodeStatistics* statistics) const;
  void DecodeWith(const ExpandedQuantizer& expanded, const uint8_t* stream, int64_t size,
                  DType dtype, const Shape& chunk, const ValueCoding& coding, void* data) const;

  const simd::Kernels& kernels_;
};

}  // namespace encke
