// A little of a value, copied to the host while the device goes on: what the next iteration's code
// tables are learnt from.
#pragma once

#include <vector>

#include "compression/chunking.h"
#include "compression/codec.h"

namespace encke::cuda {

// Which parts of a value: some rows at the beginning of chunks that are evenly spread over it.
inline std::vector<Chunk> SamplePieces(const Chunking& chunking) {
  constexpr int64_t kPieces = 16, kPieceElements = 1536;
  std::vector<Chunk> pieces;
  const int64_t count = std::min(chunking.count(), kPieces);
  for (int64_t i = 0; i < count; ++i) {
    Chunk piece = chunking.At(chunking.count() * i / count);
    const int64_t row = std::max<int64_t>(piece.shape.w * piece.shape.c, 1);
    // More than one row, so that the neighbours above tell something.
    const int64_t rows = std::max<int64_t>(2, kPieceElements / row);
    if (piece.shape.h > 1) piece.shape.n = 1;
    piece.shape.h = std::min(piece.shape.h, rows);
    pieces.push_back(piece);
  }
  return pieces;
}

}  // namespace encke::cuda
