#include "compression/value_sample.h"

#include <algorithm>
#include <cmath>

#include "compression/centroids.h"

namespace encke {
namespace {

// Images differ: many small pieces say more than a few.
constexpr int64_t kLeastPieces = 8, kMostPieces = 16;
constexpr int64_t kSampleElements = 24576;  // of all pieces, about, but two rows of each

constexpr int64_t kCenterPixels = 72;  // of all pieces together

template <typename T>
float MedianOf(const std::vector<ChunkView>& sample, int64_t channel) {
  std::vector<float> values;
  const int64_t wanted = std::max<int64_t>(1, kCenterPixels / static_cast<int64_t>(sample.size()));
  for (const ChunkView& piece : sample) {
    const int64_t pixels = piece.shape.n * piece.shape.h * piece.shape.w;
    const int64_t stride = std::max<int64_t>(1, pixels / wanted);
    const T* data = static_cast<const T*>(piece.data);
    for (int64_t i = 0; i < pixels; i += stride) {
      const auto x = static_cast<float>(data[i * piece.shape.c + channel]);
      values.push_back(std::isfinite(x) ? x : 0.0f);
    }
  }
  const auto middle = values.begin() + static_cast<int64_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// Each channel's median over part of the sample. The median rather than the mean: where most
// elements are equal it is what they are.
std::vector<float> ChannelMedians(const std::vector<ChunkView>& sample, DType dtype,
                                  int64_t channels) {
  std::vector<float> medians;
  for (int64_t c = 0; c < channels; ++c) {
    medians.push_back(dtype == DType::F32 ? MedianOf<float>(sample, c)
                                          : MedianOf<bfloat16>(sample, c));
  }
  return medians;
}

}  // namespace

std::vector<ChunkView> Sample(const Tensor& value) {
  const Shape& shape = value.shape();
  if (shape.elements() == 0) return {};
  const int64_t row = shape.w * shape.c;
  const int64_t rows = std::min(shape.h, std::max<int64_t>(2, kSampleElements / kMostPieces / row));
  const int64_t enough = std::clamp(2 * kSampleElements / (rows * row), kLeastPieces, kMostPieces);
  const int64_t pieces = std::min(shape.n * shape.h, enough);
  const int64_t samples = shape.h > 1 ? 1 : std::min<int64_t>(shape.n, 4);
  const int64_t stride = pieces % 5 == 0 ? 7 : 5;  // visits every height once
  std::vector<ChunkView> sample;
  for (int64_t i = 0; i < pieces; ++i) {
    const int64_t last = std::max<int64_t>(pieces - 1, 1);
    const int64_t n = (shape.n - samples) * i / last;
    const int64_t h = (shape.h - rows) * (i * stride % pieces) / last;
    const auto* data = static_cast<const uint8_t*>(value.raw());
    sample.push_back({data + (n * shape.sample() + h * row) * SizeOf(value.dtype()),
                      {samples, rows, shape.w, shape.c}});
  }
  return sample;
}

CodecOptions WithCenters(const CodecOptions& options, const std::vector<ChunkView>& sample,
                         const Tensor& value) {
  CodecOptions centered = options;
  if (!options.activity.empty()) {
    if (options.activity.centroid.empty()) {
      centered.activity.centroid = CellCentroids(options.activity, sample, value.dtype());
    }
    return centered;
  }
  const bool pays = !options.mask && !options.bound.channel.empty() && !sample.empty();
  if (pays && options.channel_center.empty()) {
    centered.channel_center = ChannelMedians(sample, value.dtype(), value.shape().c);
  }
  return centered;
}

}  // namespace encke
