// Cutting images into the tiles of winograd/kernels.h, and what they need in memory.
#pragma once

#include <algorithm>
#include <cstdint>

#include "engine/backend/cpu/winograd/kernels.h"
#include "engine/core/shape.h"

namespace encke::cpu::winograd {

// The kernels for this machine's vectors; null where it has neither AVX2 nor AVX-512. As oneDNN's,
// they keep to what the environment variable ONEDNN_MAX_CPU_ISA allows.
const Kernels* BestKernels();

// Whether a filter with `pairs` of channels is worth its transform for a number of tiles, measured
// in conv_winograd.h.
inline bool PaysOff(int64_t pairs, int64_t tiles) { return pairs >= 32 * 32 && tiles >= 32; }

// The tiles that cover a batch of images of results, line by line, image by image.
struct TileGrid {
  explicit TileGrid(const Shape& results)
      : lines((results.h + kTile - 1) / kTile),
        columns((results.w + kTile - 1) / kTile),
        count(results.n * lines * columns) {}

  int64_t lines, columns;  // of tiles in an image
  int64_t count;
};

// Squares of size x size pixels, one for each tile, `pad_top` and `pad_left` before its results.
struct TileSquares {
  Shape images;
  int64_t size;
  int64_t pad_top, pad_left;

  // Points `pixels`, size^2 of them, at tile `tile`'s square of `data`, which is of shape `images`;
  // pixels outside of the image become `outside`.
  template <typename T>
  void Locate(const TileGrid& grid, int64_t tile, T* data, T* outside, T** pixels) const;
};

// Strides in floats that are odd multiples of a cache line, so that neighbours in the direction of
// the stride fall into different sets of the caches.
inline int64_t OddLines(int64_t floats) { return ((floats + 15) / 16 | 1) * 16; }

// Tiles that a thread holds transformed at once: enough that filters are worth fetching for them,
// and no more, so that they stay near its second-level cache and the workspace small. With 64 in
// place of 32 the filters' gradients are up to 3% faster, the rest is not.
inline int64_t ChunkFor(int64_t channels) {
  constexpr int64_t kMaxFloats = int64_t{5} << 17;  // 2.5 MiB
  const int64_t fit = kMaxFloats / (kPositions * channels) / kRowStep * kRowStep;
  return std::clamp<int64_t>(fit, 16, 32);
}

// `chunk` transformed tiles: position p of tile i begins at p * stride + i * row.
struct TileLayout {
  TileLayout(int64_t chunk, int64_t channels)
      : row(OddLines(channels)), stride(OddLines(chunk * row)) {}
  int64_t floats() const { return kPositions * stride; }

  int64_t row, stride;
};

using TileTransform = void (*)(const float* const* pixels, int64_t channels, float* out,
                               int64_t stride);

// Transforms `channels` channels of the tiles [first, first + count), which begin at `data`, and
// fills `out` up with zeros to a multiple of kRowStep tiles. `zeros`: as many as channels.
void TransformTiles(const TileGrid& grid, const TileSquares& squares, TileTransform transform,
                    const float* data, const float* zeros, int64_t channels, int64_t first,
                    int64_t count, const TileLayout& layout, float* out);

// Calls body(first, count) for parts of [begin, end) of about equal size, at most `chunk` each.
template <typename Body>
void ForChunks(int64_t begin, int64_t end, int64_t chunk, const Body& body) {
  const int64_t parts = (end - begin + chunk - 1) / chunk;
  for (int64_t i = 0; i < parts; ++i) {
    const int64_t first = begin + (end - begin) * i / parts;
    body(first, begin + (end - begin) * (i + 1) / parts - first);
  }
}

template <typename T>
void TileSquares::Locate(const TileGrid& grid, int64_t tile, T* data, T* outside,
                         T** pixels) const {
  const int64_t w0 = tile % grid.columns * kTile - pad_left;
  const int64_t h0 = tile / grid.columns % grid.lines * kTile - pad_top;
  T* image = data + tile / (grid.columns * grid.lines) * images.sample();
  for (int64_t h = h0; h < h0 + size; ++h) {
    for (int64_t w = w0; w < w0 + size; ++w, ++pixels) {
      const bool inside = h >= 0 && h < images.h && w >= 0 && w < images.w;
      *pixels = inside ? image + (h * images.w + w) * images.c : outside;
    }
  }
}

}  // namespace encke::cpu::winograd
