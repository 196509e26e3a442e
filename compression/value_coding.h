// What all chunks of a value share, kept once beside them.
#pragma once

#include <cstdint>
#include <vector>

#include "compression/quantizer.h"

namespace encke {

// What was learnt of a value from a sample. It still suits the value some iterations later, under
// bounds that have hardly moved.
struct LearntCoding {
  QuantizerMode mode = QuantizerMode::SIGNED;
  std::vector<float> centers;    // CodecOptions::channel_center
  std::vector<int8_t> centroid;  // Activity::centroid
  std::vector<uint8_t> tables;   // ValueCoding::tables
};

struct ValueCoding {
  ValueCoding(const CodecOptions& options, DType dtype, int64_t channels)
      : quantizer(options, dtype, channels), checksum(options.checksum), seed(options.seed) {}
  // With what was learnt of the value before. REQUIRES: `learnt` has the mode of `options`, its
  // vectors are empty or have entries for `channels`, its tables are those of the codec.
  ValueCoding(const CodecOptions& options, const LearntCoding& learnt, DType dtype,
              int64_t channels);

  LearntCoding Learnt() const;
  int64_t bytes() const { return quantizer.bytes() + static_cast<int64_t>(tables.size()); }

  Quantizer quantizer;
  bool checksum;  // at the end of each chunk
  uint64_t seed;  // for codecs that round at random
  // Code tables, in the format of the codec that learnt them (Codec::Prepare). Trusted: they were
  // learnt by this process, or checked (Codec::KnowsTables).
  std::vector<uint8_t> tables;
};

}  // namespace encke
