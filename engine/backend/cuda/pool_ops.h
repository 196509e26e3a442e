// Functors of pooling, for a pack of N neighbouring channels: forward makes outputs, backward
// gathers inputs from the windows that hold them, so that nothing is written twice and the order of
// sums is fixed. Indices have 32 bits, which tensors must be small enough for.
#pragma once

#include <algorithm>
#include <cstdint>

#include "engine/backend/cuda/value.h"
#include "engine/backend/pool_geometry.h"

namespace encke::cuda {

using PoolAxis32 = PoolAxisOf<int32_t, Divisor>;
using Span32 = SpanOf<int32_t>;

// PoolGeometry as the functors take it. REQUIRES: inputs and outputs of less than 2^31 elements.
struct PoolWindows {
  explicit PoolWindows(const PoolGeometry& g)
      : c(static_cast<int32_t>(g.c)), h(Axis(g.h)), w(Axis(g.w)) {}

  static PoolAxis32 Axis(const PoolAxis& axis) {
    return {static_cast<int32_t>(axis.input), static_cast<int32_t>(axis.output),
            static_cast<int32_t>(axis.kernel), Divisor(axis.stride),
            static_cast<int32_t>(axis.pad)};
  }

  int32_t c;
  PoolAxis32 h, w;
};

// Takes the index of a pack apart.
struct PackPositions {
  // Of images of this size, in packs of n channels.
  PackPositions(int64_t height, int64_t width, int64_t channels, int n)
      : h(height), w(width), packs(channels / n), pack(n) {}

  struct Place {
    int32_t n, h, w, c;
  };
  ENCKE_HOST_DEVICE Place At(int64_t i) const {
    const int32_t at = static_cast<int32_t>(i), pixel = at / packs, row = pixel / w, n = row / h;
    return {n, row - n * h, pixel - row * w, (at - pixel * packs) * pack};
  }

  Divisor h, w, packs;
  int32_t pack;
};

// N floats that become N elements.
template <int N>
struct Lanes {
  float values[N] = {};

  template <typename T>
  ENCKE_HOST_DEVICE void Store(T* to) const {
    Pack<T, N> result;
    for (int j = 0; j < N; ++j) result.values[j] = Narrow<T>(values[j]);
    *reinterpret_cast<Pack<T, N>*>(to) = result;
  }
};

template <typename T, int N>
struct MaxPoolOp {
  MaxPoolOp(const PoolGeometry& g, const T* from, T* to, uint8_t* places)
      : windows(g), outputs(g.h.output, g.w.output, g.c, N), x(from), y(to), index(places) {}

  ENCKE_HOST_DEVICE void operator()(int64_t i) const {
    const PackPositions::Place at = outputs.At(i);
    const PoolAxis32 &h = windows.h, &w = windows.w;
    const Span32 rows = h.Inputs(at.h), columns = w.Inputs(at.w);
    const T* sample = x + at.n * h.input * w.input * windows.c + at.c;
    Lanes<N> best;
    Pack<uint8_t, N> winners = {};
    bool first = true;
    for (int32_t r = rows.begin; r < rows.end; ++r) {
      for (int32_t q = columns.begin; q < columns.end; ++q) {
        const Pack<T, N> pixel = LoadPack<N>(sample + (r * w.input + q) * windows.c);
        const int32_t place = (r - h.Start(at.h)) * w.kernel + (q - w.Start(at.w));
        for (int j = 0; j < N; ++j) {
          const float v = Widen(pixel.values[j]), b = best.values[j];
          // Greater, or the first NaN.
          const bool wins = first || (!(v <= b) && b == b);
          best.values[j] = wins ? v : b;
          winners.values[j] = wins ? static_cast<uint8_t>(place) : winners.values[j];
        }
        first = false;
      }
    }
    best.Store(y + i * N);
    if (index != nullptr) *reinterpret_cast<Pack<uint8_t, N>*>(index + i * N) = winners;
  }

  PoolWindows windows;
  PackPositions outputs;
  const T* x;
  T* y;
  uint8_t* index;  // may be null
};

template <typename T, int N>
struct MaxPoolGradientOp {
  MaxPoolGradientOp(const PoolGeometry& g, const uint8_t* places, const T* from, T* to)
      : windows(g), inputs(g.h.input, g.w.input, g.c, N), index(places), dy(from), dx(to) {}

  ENCKE_HOST_DEVICE void operator()(int64_t i) const {
    const PackPositions::Place at = inputs.At(i);
    const PoolAxis32 &h = windows.h, &w = windows.w;
    const Span32 rows = h.Outputs(at.h), columns = w.Outputs(at.w);
    const int32_t sample = at.n * h.output * w.output * windows.c + at.c;
    Lanes<N> sum;
    for (int32_t p = rows.begin; p < rows.end; ++p) {
      for (int32_t q = columns.begin; q < columns.end; ++q) {
        const int32_t out = sample + (p * w.output + q) * windows.c;
        const Pack<uint8_t, N> winners = LoadPack<N>(index + out);
        const Pack<T, N> gradient = LoadPack<N>(dy + out);
        const int32_t place = (at.h - h.Start(p)) * w.kernel + (at.w - w.Start(q));
        for (int j = 0; j < N; ++j) {
          if (winners.values[j] == place) sum.values[j] += Widen(gradient.values[j]);
        }
      }
    }
    sum.Store(dx + i * N);
  }

  PoolWindows windows;
  PackPositions inputs;
  const uint8_t* index;
  const T* dy;
  T* dx;
};

// Pixels that the window of output p counts along one axis: those inside the input, or with
// `padded` also those in the padding, which reaches `pad` beyond either end.
ENCKE_HOST_DEVICE inline int32_t CountedPixels(const PoolAxis32& axis, int32_t p, bool padded) {
  const Span32 inside = axis.Inputs(p);
  if (!padded) return inside.end - inside.begin;
  return std::min(axis.Start(p) + axis.kernel, axis.input + axis.pad) - axis.Start(p);
}

ENCKE_HOST_DEVICE inline float InverseDivisor(const PoolWindows& g, bool padded, int32_t p,
                                              int32_t q) {
  return 1.0f / static_cast<float>(CountedPixels(g.h, p, padded) * CountedPixels(g.w, q, padded));
}

template <typename T, int N>
struct AveragePoolOp {
  AveragePoolOp(const PoolGeometry& g, bool count_padding, const T* from, T* to)
      : windows(g),
        outputs(g.h.output, g.w.output, g.c, N),
        padded(count_padding),
        x(from),
        y(to) {}

  ENCKE_HOST_DEVICE void operator()(int64_t i) const {
    const PackPositions::Place at = outputs.At(i);
    const PoolAxis32 &h = windows.h, &w = windows.w;
    const Span32 rows = h.Inputs(at.h), columns = w.Inputs(at.w);
    const T* sample = x + at.n * h.input * w.input * windows.c + at.c;
    Lanes<N> sum;
    for (int32_t r = rows.begin; r < rows.end; ++r) {
      for (int32_t q = columns.begin; q < columns.end; ++q) {
        const Pack<T, N> pixel = LoadPack<N>(sample + (r * w.input + q) * windows.c);
        for (int j = 0; j < N; ++j) sum.values[j] += Widen(pixel.values[j]);
      }
    }
    const float factor = InverseDivisor(windows, padded, at.h, at.w);
    for (int j = 0; j < N; ++j) sum.values[j] *= factor;
    sum.Store(y + i * N);
  }

  PoolWindows windows;
  PackPositions outputs;
  bool padded;
  const T* x;
  T* y;
};

template <typename T, int N>
struct AveragePoolGradientOp {
  AveragePoolGradientOp(const PoolGeometry& g, bool count_padding, const T* from, T* to)
      : windows(g), inputs(g.h.input, g.w.input, g.c, N), padded(count_padding), dy(from), dx(to) {}

  ENCKE_HOST_DEVICE void operator()(int64_t i) const {
    const PackPositions::Place at = inputs.At(i);
    const PoolAxis32 &h = windows.h, &w = windows.w;
    const Span32 rows = h.Outputs(at.h), columns = w.Outputs(at.w);
    const T* sample = dy + at.n * h.output * w.output * windows.c + at.c;
    Lanes<N> sum;
    for (int32_t p = rows.begin; p < rows.end; ++p) {
      for (int32_t q = columns.begin; q < columns.end; ++q) {
        const Pack<T, N> gradient = LoadPack<N>(sample + (p * w.output + q) * windows.c);
        const float factor = InverseDivisor(windows, padded, p, q);
        for (int j = 0; j < N; ++j) sum.values[j] += factor * Widen(gradient.values[j]);
      }
    }
    sum.Store(dx + i * N);
  }

  PoolWindows windows;
  PackPositions inputs;
  bool padded;
  const T* dy;
  T* dx;
};

}  // namespace encke::cuda
