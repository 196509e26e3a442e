#include "tests/reference/reference.h"

namespace encke::reference {
namespace {

int64_t At(const Shape& s, int64_t n, int64_t h, int64_t w, int64_t c) {
  return ((n * s.h + h) * s.w + w) * s.c + c;
}

// Calls f(index in x, index in w, index in y) for each product of the convolution.
template <typename F>
void ForEachProduct(const ConvOptions& o, const Shape& xs, const Shape& ys, const F& f) {
  const int64_t in = xs.c / o.groups, out = ys.c / o.groups;
  const Shape ws = {ys.c, o.kernel_h, o.kernel_w, in};
  for (int64_t n = 0; n < ys.n; ++n)
    for (int64_t p = 0; p < ys.h; ++p)
      for (int64_t q = 0; q < ys.w; ++q)
        for (int64_t k = 0; k < ys.c; ++k)
          for (int64_t r = 0; r < o.kernel_h; ++r)
            for (int64_t s = 0; s < o.kernel_w; ++s) {
              const int64_t h = p * o.stride_h - o.pad_top + r * o.dilation_h;
              const int64_t w = q * o.stride_w - o.pad_left + s * o.dilation_w;
              if (h < 0 || h >= xs.h || w < 0 || w >= xs.w) continue;
              for (int64_t c = 0; c < in; ++c)
                f(At(xs, n, h, w, k / out * in + c), At(ws, k, r, s, c), At(ys, n, p, q, k));
            }
}

int64_t Extent(int64_t input, int64_t pads, int64_t kernel, int64_t dilation, int64_t stride) {
  return (input + pads - (kernel - 1) * dilation - 1) / stride + 1;
}

}  // namespace

Shape ConvOutput(const ConvOptions& o, const Shape& x, int64_t output_channels) {
  return {x.n, Extent(x.h, o.pad_top + o.pad_bottom, o.kernel_h, o.dilation_h, o.stride_h),
          Extent(x.w, o.pad_left + o.pad_right, o.kernel_w, o.dilation_w, o.stride_w),
          output_channels};
}

Values ConvForward(const ConvOptions& options, const Shape& x_shape, const Values& x,
                   const Values& w, const Values& bias, const Shape& y_shape) {
  Values y(y_shape.elements(), 0.0);
  ForEachProduct(options, x_shape, y_shape,
                 [&](int64_t i, int64_t j, int64_t o) { y[o] += x[i] * w[j]; });
  if (bias.empty()) return y;
  for (size_t i = 0; i < y.size(); ++i) y[i] += bias[i % y_shape.c];
  return y;
}

Values ConvBackwardData(const ConvOptions& options, const Shape& y_shape, const Values& dy,
                        const Values& w, const Shape& x_shape) {
  Values dx(x_shape.elements(), 0.0);
  ForEachProduct(options, x_shape, y_shape,
                 [&](int64_t i, int64_t j, int64_t o) { dx[i] += dy[o] * w[j]; });
  return dx;
}

Values ConvBackwardFilter(const ConvOptions& options, const Shape& x_shape, const Values& x,
                          const Shape& y_shape, const Values& dy) {
  Values dw(y_shape.c * options.kernel_h * options.kernel_w * (x_shape.c / options.groups), 0.0);
  ForEachProduct(options, x_shape, y_shape,
                 [&](int64_t i, int64_t j, int64_t o) { dw[j] += dy[o] * x[i]; });
  return dw;
}

Values SumToChannels(const Shape& shape, const Values& dy) {
  Values sum(shape.c, 0.0);
  for (size_t i = 0; i < dy.size(); ++i) sum[i % shape.c] += dy[i];
  return sum;
}

Values Matmul(int64_t rows, int64_t inner, int64_t columns, const Values& a, const Values& b) {
  Values c(rows * columns, 0.0);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t k = 0; k < inner; ++k)
      for (int64_t j = 0; j < columns; ++j)
        c[i * columns + j] += a[i * inner + k] * b[k * columns + j];
  return c;
}

Values Transpose(int64_t rows, int64_t columns, const Values& a) {
  Values t(a.size());
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) t[j * rows + i] = a[i * columns + j];
  return t;
}

}  // namespace encke::reference
