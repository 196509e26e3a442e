// Walking over the blocks of a chunk.
#pragma once

#include "compression/simd/block.h"

namespace encke::simd {
namespace {

// Where the tables' entries of a block start, block after block.
class TableCursor {
 public:
  explicit TableCursor(const QuantizerTables& tables)
      : tables_(tables), advance_(kBlockElements % tables.period) {}

  QuantizerTables At() const {
    return {tables_.bound + offset_, tables_.step + offset_, tables_.inverse_step + offset_,
            tables_.center + offset_, tables_.period};
  }
  void Next() {
    offset_ += advance_;
    if (offset_ >= tables_.period) offset_ -= tables_.period;
  }

 private:
  QuantizerTables tables_;
  int64_t advance_;
  int64_t offset_ = 0;
};

// The block that starts at `x`, or its copy in `padded`, filled up with zeros, if it is not whole.
template <typename T>
ENCKE_INLINE const T* WholeBlock(const T* x, int64_t left, T* padded) {
  if (left >= kBlockElements) return x;
  std::memset(padded, 0, kBlockElements * sizeof(T));
  std::memcpy(padded, x, left * sizeof(T));
  return padded;
}

}  // namespace
}  // namespace encke::simd
