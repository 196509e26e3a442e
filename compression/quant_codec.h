// QUANT: 2, 4 or 8 bits an element between the least and the greatest of its group, rounded
// stochastically, from CodecOptions::seed and the data. After J. Chen et al., "ActNN: Reducing
// Training Memory Footprint via 2-Bit Activation Compressed Training", ICML 2021, section 4.1, with
// groups of 256.
#pragma once

#include "compression/rival_codec.h"

namespace encke {

class QuantCodec : public RivalCodec {
 public:
  // REQUIRES: bits is 2, 4 or 8.
  explicit QuantCodec(int bits) : RivalCodec(StreamKind::QUANT), bits_(bits) {}

  std::string name() const override { return "quant" + std::to_string(bits_); }

 protected:
  void EncodeValues(const std::vector<float>& values, const Shape& chunk, const ValueCoding& coding,
                    std::vector<uint8_t>* out) const override;
  void DecodeValues(const uint8_t* stream, int64_t size, const Shape& chunk,
                    const ValueCoding& coding, std::vector<float>* values) const override;

 private:
  int bits_;
};

}  // namespace encke
