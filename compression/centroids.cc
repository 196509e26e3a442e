#include "compression/centroids.h"

#include <algorithm>
#include <cmath>

#include "compression/quantizer.h"

namespace encke {
namespace {

// Cells of all channels count for so many elements of each: about the variance of an element's
// place in its cell, 1/12, over that of the cells' means between channels.
constexpr float kPrior = 32;

constexpr int kCells = kCentroids + 1;  // of a channel: the last is for all other elements

// Sums over the elements of a cell.
struct Cell {
  float places = 0;  // how far into the cell, in its widths
  float count = 0;
};

// In two loops, so that there are no branches, which no processor could predict.
template <typename T>
void AddPiece(const Activity& activity, const std::vector<float>& inverse_width,
              const ChunkView& piece, std::vector<Cell>* cells) {
  constexpr float kOther = kCentroids;
  const int64_t channels = piece.shape.c, pixels = piece.shape.elements() / channels;
  const float* threshold = activity.threshold.data();
  const int8_t* sign = activity.sign.data();
  std::vector<float> row(channels);
  for (int64_t p = 0; p < pixels; ++p) {
    const T* x = static_cast<const T*>(piece.data) + p * channels;
    float* places = row.data();
    for (int64_t c = 0; c < channels; ++c) {
      const float distance =
          (static_cast<float>(x[c]) - threshold[c]) * static_cast<float>(sign[c]);
      const float widths = -distance * inverse_width[c];
      const float inside = widths >= 0 ? widths : kOther;  // not active or NaN
      places[c] = inside < kOther ? inside : kOther;       // not far away
    }
    for (int64_t c = 0; c < channels; ++c) {
      const int m = static_cast<int>(places[c]);
      Cell& cell = (*cells)[c * kCells + m];
      cell.places += places[c] - static_cast<float>(m);
      cell.count += 1;
    }
  }
}

// Cell `m` of all channels, as one of kPrior elements.
Cell PriorOf(const std::vector<Cell>& cells, int m) {
  Cell sum;
  for (size_t i = m; i < cells.size(); i += kCells) {
    sum.places += cells[i].places;
    sum.count += cells[i].count;
  }
  return {sum.count > 0 ? kPrior * sum.places / sum.count : kPrior / 2, kPrior};
}

}  // namespace

std::vector<int8_t> CellCentroids(const Activity& activity, const std::vector<ChunkView>& sample,
                                  DType dtype) {
  std::vector<float> inverse_width;
  for (size_t c = 0; c < activity.threshold.size(); ++c) {
    const auto width = static_cast<float>(CellShare(dtype) * activity.inactive_bound[c]);
    const bool counts = activity.sign[c] != 0 && width > 0;
    inverse_width.push_back(counts ? 1.0f / width : std::nanf(""));
  }
  const size_t channels = activity.threshold.size();
  std::vector<Cell> cells(channels * kCells);
  for (const ChunkView& piece : sample) {
    if (dtype == DType::F32) {
      AddPiece<float>(activity, inverse_width, piece, &cells);
    } else {
      AddPiece<bfloat16>(activity, inverse_width, piece, &cells);
    }
  }
  std::vector<int8_t> centroids(channels * kCentroids);
  for (int m = 0; m < kCentroids; ++m) {
    const Cell prior = PriorOf(cells, m);
    for (size_t c = 0; c < channels; ++c) {
      const Cell& cell = cells[c * kCells + m];
      const float place = (cell.places + prior.places) / (cell.count + prior.count);
      const float offset = std::nearbyint((place - 0.5f) * 256);
      centroids[c * kCentroids + m] = static_cast<int8_t>(std::clamp(offset, -128.0f, 127.0f));
    }
  }
  return centroids;
}

}  // namespace encke
