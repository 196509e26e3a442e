// JPEG: each channel of a sample is an image, cut into 8x8 blocks, transformed by DCT, quantised,
// scanned in zigzag, run-length and entropy coded (by zstd). After R. D. Evans et al., "JPEG-ACT:
// Accelerating Deep Learning via Transform-based Lossy Compression", ISCA 2020. The quantisation
// table is the JPEG standard's (ITU-T T.81, annex K.1), scaled so that a sample's root mean square
// error is that of an error uniform within the bound.
#pragma once

#include "compression/rival_codec.h"

namespace encke {

class JpegCodec : public RivalCodec {
 public:
  JpegCodec() : RivalCodec(StreamKind::JPEG) {}

  std::string name() const override { return "jpeg"; }
  void Prepare(const std::vector<ChunkView>& sample, DType dtype,
               ValueCoding* coding) const override;
  bool KnowsTables(const std::vector<uint8_t>& tables, QuantizerMode mode) const override;

 protected:
  void EncodeValues(const std::vector<float>& values, const Shape& chunk, const ValueCoding& coding,
                    std::vector<uint8_t>* out) const override;
  void DecodeValues(const uint8_t* stream, int64_t size, const Shape& chunk,
                    const ValueCoding& coding, std::vector<float>* values) const override;
};

}  // namespace encke
