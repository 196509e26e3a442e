// What all chunks of a value share, kept once beside them.
#pragma once

#include <cstdint>
#include <vector>

#include "compression/quantizer.h"

namespace encke {

struct ValueCoding {
  ValueCoding(const CodecOptions& options, int64_t channels)
      : quantizer(options, channels), checksum(options.checksum), seed(options.seed) {}

  int64_t bytes() const { return quantizer.bytes() + static_cast<int64_t>(tables.size()); }

  Quantizer quantizer;
  bool checksum;  // at the end of each chunk
  uint64_t seed;  // for codecs that round at random
  // Code tables, in the format of the codec that learnt them (Codec::Prepare). Trusted: they never
  // come from outside the process.
  std::vector<uint8_t> tables;
};

}  // namespace encke
