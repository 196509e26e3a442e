// Learns the DENSE codec's token distributions from a sample of a value.
#pragma once

#include <cstdint>
#include <vector>

#include "compression/simd/dense_format.h"

namespace encke {

// Gathers a sample's codes chunk by chunk, then makes the tables.
class DenseTableBuilder {
 public:
  explicit DenseTableBuilder(bool mask) : mask_(mask) {}

  // Codes of one chunk of NHWC shape ... x width x channels.
  void Add(std::vector<uint16_t> codes, const simd::DenseShape& shape);
  // In compact form, about 400 bytes.
  std::vector<uint8_t> Build() const;

 private:
  struct Chunk {
    std::vector<uint16_t> codes;
    simd::DenseShape shape;
  };
  using Counts = int64_t[simd::kContexts][simd::kTokens];

  int ChooseShift() const;
  void Count(const Chunk& chunk, int shift, Counts counts) const;

  bool mask_;
  std::vector<Chunk> chunks_;
};

// REQUIRES: made by DenseTableBuilder.
simd::DenseTables ExpandDenseTables(const std::vector<uint8_t>& compact);

}  // namespace encke
