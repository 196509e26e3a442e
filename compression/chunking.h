// How a value is cut into chunks that can be decoded alone: whole samples, several of them where
// they are small; groups of rows of one sample where it is large.
#pragma once

#include <algorithm>
#include <cstdint>

#include "engine/core/dtype.h"
#include "engine/core/shape.h"

namespace encke {

struct Chunk {
  int64_t first_sample;
  int64_t offset;  // elements from the start of the value
  Shape shape;
};

// Everything is constexpr so that a GPU's kernels can ask, too.
class Chunking {
 public:
  // Chunks of about `bytes` each.
  constexpr Chunking(const Shape& shape, DType dtype, int64_t bytes)
      : shape_(shape),
        samples_(PerChunk(bytes, shape.sample() * SizeOf(dtype), shape.n)),
        rows_(samples_ > 1 ? shape.h : PerChunk(bytes, shape.w * shape.c * SizeOf(dtype), shape.h)),
        chunks_per_group_(shape.sample() == 0 ? 0 : (shape.h + rows_ - 1) / rows_) {}

  constexpr int64_t count() const { return (shape_.n + samples_ - 1) / samples_ * chunks_per_group_; }

  constexpr Chunk At(int64_t index) const {
    const int64_t group = Quotient(index, chunks_per_group_);
    const int64_t sample = group * samples_;
    const int64_t row = (index - group * chunks_per_group_) * rows_;
    return {sample,
            sample * shape_.sample() + row * shape_.w * shape_.c,
            {std::min(samples_, shape_.n - sample), std::min(rows_, shape_.h - row), shape_.w,
             shape_.c}};
  }

  // The chunks with any of these samples: [ChunkOf(first), EndOf(first + count)).
  constexpr int64_t ChunkOf(int64_t sample) const { return sample / samples_ * chunks_per_group_; }
  constexpr int64_t EndOf(int64_t sample) const {
    return (sample + samples_ - 1) / samples_ * chunks_per_group_;
  }

  // No chunk has more elements.
  constexpr Shape Largest() const {
    return {std::min(samples_, shape_.n), std::min(rows_, shape_.h), shape_.w, shape_.c};
  }

 private:
  // 64 bits take a GPU a hundred instructions.
  static constexpr int64_t Quotient(int64_t a, int64_t b) {
    return (a | b) >> 32 == 0 ? static_cast<uint32_t>(a) / static_cast<uint32_t>(b) : a / b;
  }

  static constexpr int64_t PerChunk(int64_t bytes, int64_t unit, int64_t most) {
    return std::clamp<int64_t>(bytes / std::max<int64_t>(unit, 1), 1, std::max<int64_t>(most, 1));
  }

  Shape shape_;
  int64_t samples_;  // in a chunk
  int64_t rows_;     // of each of these samples
  int64_t chunks_per_group_;
};

}  // namespace encke
