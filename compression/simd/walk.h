// Walking over the blocks of a chunk.
#pragma once

#include "compression/simd/block.h"

namespace encke::simd {
namespace {

// Blocks that are taken through each step of an encoder before the next one: how much is written of
// a block cannot be foreseen, and what the processor has begun of the next block would be lost each
// time.
constexpr int kGroupBlocks = 16;

// Where the tables' entries of a block start, block after block.
class TableCursor {
 public:
  explicit TableCursor(const QuantizerTables& tables)
      : tables_(tables), advance_(kBlockElements % tables.period) {}

  // The tables of the mode alone: what is null stays null.
  template <QuantizerMode kMode>
  QuantizerTables At() const {
    QuantizerTables at = {};
    at.bound = tables_.bound + offset_;
    at.step = tables_.step + offset_;
    at.inverse_step = tables_.inverse_step + offset_;
    at.period = tables_.period;
    if constexpr (kMode != QuantizerMode::ACTIVITY) {
      at.center = tables_.center + offset_;
    } else {
      at.threshold = tables_.threshold + offset_;
      at.direction = tables_.direction + offset_;
      at.inactive_bound = tables_.inactive_bound + offset_;
      at.width = tables_.width + offset_;
      at.inverse_width = tables_.inverse_width + offset_;
      at.centroids = tables_.centroids + offset_;
    }
    return at;
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

// A mode as a type: what `mode()` gives is a constant.
template <QuantizerMode kMode>
struct ConstantMode {
  constexpr QuantizerMode operator()() const { return kMode; }
};

template <typename T, typename Body>
ENCKE_INLINE auto ForMode(QuantizerMode mode, const Body& body) {
  switch (mode) {
    case QuantizerMode::MASK:
      return body(T(), ConstantMode<QuantizerMode::MASK>());
    case QuantizerMode::ACTIVITY:
      return body(T(), ConstantMode<QuantizerMode::ACTIVITY>());
    default:
      return body(T(), ConstantMode<QuantizerMode::SIGNED>());
  }
}

// Calls body(T(), mode) with the elements' type, uint16_t for bfloat16, and a ConstantMode.
template <typename Body>
ENCKE_INLINE auto ForTypeAndMode(DType dtype, QuantizerMode mode, const Body& body) {
  return dtype == DType::F32 ? ForMode<float>(mode, body) : ForMode<uint16_t>(mode, body);
}

// One bit for each element of a block that the chunk has.
ENCKE_INLINE uint64_t ValidElements(int64_t left) {
  return left >= kBlockElements ? ~uint64_t{0} : (uint64_t{1} << left) - 1;
}

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
