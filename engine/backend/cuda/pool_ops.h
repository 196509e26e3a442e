// Functors of pooling: forward makes output element i, backward gathers input element i from the
// windows that hold it, so that nothing is written twice and the order of sums is fixed.
#pragma once

#include <algorithm>
#include <cstdint>

#include "engine/backend/cuda/value.h"
#include "engine/backend/pool_geometry.h"

namespace encke::cuda {

template <typename T>
struct MaxPoolOp {
  PoolGeometry g;
  const T* x;
  T* y;
  uint8_t* index;  // may be null

  ENCKE_HOST_DEVICE void operator()(int64_t i) const {
    const Position at = PositionOf(i, g.h.output, g.w.output, g.c);
    const Span rows = g.h.Inputs(at.h), columns = g.w.Inputs(at.w);
    const T* sample = x + at.n * g.h.input * g.w.input * g.c + at.c;
    float best = 0.0f;
    int64_t place = -1;
    for (int64_t h = rows.begin; h < rows.end; ++h) {
      for (int64_t w = columns.begin; w < columns.end; ++w) {
        const float v = Widen(sample[(h * g.w.input + w) * g.c]);
        // Greater, or the first NaN.
        if (place >= 0 && !(!(v <= best) && best == best)) continue;
        best = v;
        place = (h - g.h.Start(at.h)) * g.w.kernel + (w - g.w.Start(at.w));
      }
    }
    y[i] = Narrow<T>(best);
    if (index != nullptr) index[i] = static_cast<uint8_t>(place);
  }
};

template <typename T>
struct MaxPoolGradientOp {
  PoolGeometry g;
  const uint8_t* index;
  const T* dy;
  T* dx;

  ENCKE_HOST_DEVICE void operator()(int64_t i) const {
    const Position at = PositionOf(i, g.h.input, g.w.input, g.c);
    const Span rows = g.h.Outputs(at.h), columns = g.w.Outputs(at.w);
    const int64_t sample = at.n * g.h.output * g.w.output * g.c + at.c;
    float sum = 0.0f;
    for (int64_t p = rows.begin; p < rows.end; ++p) {
      for (int64_t q = columns.begin; q < columns.end; ++q) {
        const int64_t out = sample + (p * g.w.output + q) * g.c;
        const int64_t place = (at.h - g.h.Start(p)) * g.w.kernel + (at.w - g.w.Start(q));
        if (index[out] == place) sum += Widen(dy[out]);
      }
    }
    dx[i] = Narrow<T>(sum);
  }
};

// Pixels that the window of output p counts along one axis: those inside the input, or with
// `padded` also those in the padding, which reaches `pad` beyond either end.
ENCKE_HOST_DEVICE inline int64_t CountedPixels(const PoolAxis& axis, int64_t p, bool padded) {
  const Span inside = axis.Inputs(p);
  if (!padded) return inside.end - inside.begin;
  return std::min(axis.Start(p) + axis.kernel, axis.input + axis.pad) - axis.Start(p);
}

ENCKE_HOST_DEVICE inline float InverseDivisor(const PoolGeometry& g, bool padded, int64_t p,
                                              int64_t q) {
  return 1.0f / static_cast<float>(CountedPixels(g.h, p, padded) * CountedPixels(g.w, q, padded));
}

template <typename T>
struct AveragePoolOp {
  PoolGeometry g;
  bool padded;
  const T* x;
  T* y;

  ENCKE_HOST_DEVICE void operator()(int64_t i) const {
    const Position at = PositionOf(i, g.h.output, g.w.output, g.c);
    const Span rows = g.h.Inputs(at.h), columns = g.w.Inputs(at.w);
    const T* sample = x + at.n * g.h.input * g.w.input * g.c + at.c;
    float sum = 0.0f;
    for (int64_t h = rows.begin; h < rows.end; ++h) {
      for (int64_t w = columns.begin; w < columns.end; ++w) {
        sum += Widen(sample[(h * g.w.input + w) * g.c]);
      }
    }
    y[i] = Narrow<T>(InverseDivisor(g, padded, at.h, at.w) * sum);
  }
};

template <typename T>
struct AveragePoolGradientOp {
  PoolGeometry g;
  bool padded;
  const T* dy;
  T* dx;

  ENCKE_HOST_DEVICE void operator()(int64_t i) const {
    const Position at = PositionOf(i, g.h.input, g.w.input, g.c);
    const Span rows = g.h.Outputs(at.h), columns = g.w.Outputs(at.w);
    const T* sample = dy + at.n * g.h.output * g.w.output * g.c + at.c;
    float sum = 0.0f;
    for (int64_t p = rows.begin; p < rows.end; ++p) {
      for (int64_t q = columns.begin; q < columns.end; ++q) {
        sum += InverseDivisor(g, padded, p, q) * Widen(sample[(p * g.w.output + q) * g.c]);
      }
    }
    dx[i] = Narrow<T>(sum);
  }
};

}  // namespace encke::cuda
