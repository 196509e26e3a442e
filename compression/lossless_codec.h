// LOSSLESS: zstd on the elements' bytes, sorted by significance. A rival: what can be had without
// any error.
#pragma once

#include "compression/codec.h"

namespace encke {

class LosslessCodec : public Codec {
 public:
  std::string name() const override { return "lossless"; }
  int64_t MaxStreamSize(const Shape& chunk, DType dtype) const override;
  int64_t EncodeStream(const void* data, DType dtype, const Shape& chunk, const ValueCoding& coding,
                       uint8_t* out, EncodeStatistics* statistics) const override;
  void DecodeStream(const uint8_t* stream, int64_t size, DType dtype, const Shape& chunk,
                    const ValueCoding& coding, void* data) const override;
};

}  // namespace encke
