// Functors around convolution: padding copies, and convolution itself in plain loops, for what
// cuDNN has no kernel for. Slow, and right for every shape.
#pragma once

#include <cstdint>

#include "engine/backend/backend.h"
#include "engine/backend/cuda/value.h"

namespace encke::cuda {

// Element i of an image [N,H,W,C] that lies, `top` and `left` pixels from the corner, in a larger
// one: copied there (PAD; around it the larger one is to be zero already) or from there (CROP).
template <typename T>
struct PlaceImageOp {
  int64_t h, w, c;  // of the smaller
  int64_t top, left, large_h, large_w;
  const T* from;
  T* to;
  bool crop;  // `from` is the larger
  ENCKE_HOST_DEVICE void operator()(int64_t i) const {
    const Position at = PositionOf(i, h, w, c);
    const int64_t large = ((at.n * large_h + at.h + top) * large_w + at.w + left) * c + at.c;
    to[crop ? i : large] = from[crop ? large : i];
  }
};

// Sizes of one convolution.
struct DirectConv {
  ConvOptions o;
  Shape x, y;

  ENCKE_HOST_DEVICE int64_t x_channels() const { return x.c / o.groups; }  // of a group
  ENCKE_HOST_DEVICE int64_t y_channels() const { return y.c / o.groups; }
  // The input row that tap r of output row p reads; may lie outside. And so for columns.
  ENCKE_HOST_DEVICE int64_t Row(int64_t p, int64_t r) const {
    return p * o.stride_h - o.pad_top + r * o.dilation_h;
  }
  ENCKE_HOST_DEVICE int64_t Column(int64_t q, int64_t s) const {
    return q * o.stride_w - o.pad_left + s * o.dilation_w;
  }
  ENCKE_HOST_DEVICE int64_t XIndex(int64_t n, int64_t h, int64_t w, int64_t c) const {
    return ((n * x.h + h) * x.w + w) * x.c + c;
  }
  ENCKE_HOST_DEVICE int64_t YIndex(int64_t n, int64_t p, int64_t q, int64_t k) const {
    return ((n * y.h + p) * y.w + q) * y.c + k;
  }
  ENCKE_HOST_DEVICE int64_t WIndex(int64_t k, int64_t r, int64_t s, int64_t c) const {
    return ((k * o.kernel_h + r) * o.kernel_w + s) * x_channels() + c;
  }
  ENCKE_HOST_DEVICE bool Inside(int64_t h, int64_t w) const {
    return h >= 0 && h < x.h && w >= 0 && w < x.w;
  }
};

// Output element i.
template <typename T>
struct DirectForwardOp {
  DirectConv conv;
  const T* x;
  const float* w;
  T* y;
  ENCKE_HOST_DEVICE void operator()(int64_t i) const {
    const Position at = PositionOf(i, conv.y.h, conv.y.w, conv.y.c);
    const int64_t first = Divide(at.c, conv.y_channels()) * conv.x_channels();
    double sum = 0.0;
    for (int64_t r = 0; r < conv.o.kernel_h; ++r) {
      for (int64_t s = 0; s < conv.o.kernel_w; ++s) {
        const int64_t h = conv.Row(at.h, r), column = conv.Column(at.w, s);
        if (!conv.Inside(h, column)) continue;
        const T* pixel = x + conv.XIndex(at.n, h, column, first);
        const float* tap = w + conv.WIndex(at.c, r, s, 0);
        for (int64_t c = 0; c < conv.x_channels(); ++c) sum += Widen(pixel[c]) * tap[c];
      }
    }
    y[i] = Narrow<T>(static_cast<float>(sum));
  }
};

// Input gradient element i.
template <typename T>
struct DirectBackwardDataOp {
  DirectConv conv;
  const T* dy;
  const float* w;
  T* dx;
  ENCKE_HOST_DEVICE void operator()(int64_t i) const {
    const Position at = PositionOf(i, conv.x.h, conv.x.w, conv.x.c);
    double sum = 0.0;
    for (int64_t r = 0; r < conv.o.kernel_h; ++r) {
      for (int64_t s = 0; s < conv.o.kernel_w; ++s) {
        const int64_t h = at.h - conv.Row(0, r), column = at.w - conv.Column(0, s);
        if (h < 0 || column < 0) continue;
        const int64_t p = Divide(h, conv.o.stride_h), q = Divide(column, conv.o.stride_w);
        if (p >= conv.y.h || q >= conv.y.w) continue;
        if (p * conv.o.stride_h != h || q * conv.o.stride_w != column) continue;
        sum += OverOutputs(at, r, s, p, q);
      }
    }
    dx[i] = Narrow<T>(static_cast<float>(sum));
  }

  ENCKE_HOST_DEVICE double OverOutputs(const Position& at, int64_t r, int64_t s, int64_t p,
                                       int64_t q) const {
    const int64_t group = Divide(at.c, conv.x_channels());
    const int64_t c = at.c - group * conv.x_channels(), first = group * conv.y_channels();
    double sum = 0.0;
    for (int64_t k = first; k < first + conv.y_channels(); ++k) {
      sum += Widen(dy[conv.YIndex(at.n, p, q, k)]) * w[conv.WIndex(k, r, s, c)];
    }
    return sum;
  }
};

// Filter gradient element i, on top of what is there where `accumulate`.
template <typename T>
struct DirectBackwardFilterOp {
  DirectConv conv;
  const T *x, *dy;
  float* dw;
  bool accumulate;
  ENCKE_HOST_DEVICE void operator()(int64_t i) const {
    const Position at = PositionOf(i, conv.o.kernel_h, conv.o.kernel_w, conv.x_channels());
    const int64_t channel = Divide(at.n, conv.y_channels()) * conv.x_channels() + at.c;
    double sum = 0.0;
    for (int64_t n = 0; n < conv.x.n; ++n) {
      for (int64_t p = 0; p < conv.y.h; ++p) {
        for (int64_t q = 0; q < conv.y.w; ++q) {
          const int64_t h = conv.Row(p, at.h), column = conv.Column(q, at.w);
          if (!conv.Inside(h, column)) continue;
          sum +=
              Widen(x[conv.XIndex(n, h, column, channel)]) * Widen(dy[conv.YIndex(n, p, q, at.n)]);
        }
      }
    }
    dw[i] = static_cast<float>(sum + (accumulate ? dw[i] : 0.0));
  }
};

}  // namespace encke::cuda
