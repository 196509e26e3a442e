// Elements packed to a few bits each, sample by sample: each sample begins with a byte of its own, so
// that any slice of a batch can be packed and unpacked alone.
#pragma once

#include "engine/core/tensor.h"

namespace encke {

inline int64_t PackedSampleBytes(const Shape& shape, int bits) {
  return (shape.sample() * bits + 7) / 8;
}

// Calls visit(part, first, count) for samples that can be treated together: all of `tensor`, or one
// at a time where a sample's bits do not fill its bytes.
template <typename Visit>
void ForEachPacked(const Tensor& tensor, int bits, const Visit& visit) {
  const int64_t samples = tensor.shape().n;
  if (tensor.shape().sample() * bits % 8 == 0) return visit(tensor, 0, samples);
  for (int64_t n = 0; n < samples; ++n) visit(tensor.Slice(n, 1), n, 1);
}

}  // namespace encke
