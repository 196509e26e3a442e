// A little of a value, copied to the host while the device goes on: what the next iteration's code
// tables are learnt from.
#pragma once

#include <algorithm>
#include <vector>

#include "compression/chunking.h"
#include "compression/codec.h"

namespace encke::cuda {

// Which parts of a value: some rows at the beginning of chunks that are evenly spread over it.
inline std::vector<Chunk> SamplePieces(const Chunking& chunking) {
  constexpr int64_t kLeastPieces = 8, kMostPieces = 16, kPieceElements = 1536;
  std::vector<Chunk> pieces;
  if (chunking.count() == 0) return pieces;
  // Images differ: many small pieces say more than a few.
  const int64_t smallest = 2 * chunking.At(0).shape.w * chunking.At(0).shape.c;
  const int64_t enough = std::clamp(
      2 * kMostPieces * kPieceElements / std::max<int64_t>(smallest, 1), kLeastPieces, kMostPieces);
  const int64_t count = std::min(chunking.count(), enough);
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
