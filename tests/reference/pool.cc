#include <algorithm>
#include <cmath>

#include "tests/reference/reference.h"

namespace encke::reference {
namespace {

int64_t At(const Shape& s, int64_t n, int64_t h, int64_t w, int64_t c) {
  return ((n * s.h + h) * s.w + w) * s.c + c;
}

// Calls f(index in x, index in y, place in the window) for each pixel of each window that lies
// inside the input.
template <typename F>
void ForEachPixel(const PoolOptions& o, const Shape& xs, const Shape& ys, const F& f) {
  for (int64_t n = 0; n < ys.n; ++n)
    for (int64_t p = 0; p < ys.h; ++p)
      for (int64_t q = 0; q < ys.w; ++q)
        for (int64_t i = 0; i < o.kernel_h; ++i)
          for (int64_t j = 0; j < o.kernel_w; ++j) {
            const int64_t h = p * o.stride_h - o.pad_top + i;
            const int64_t w = q * o.stride_w - o.pad_left + j;
            if (h < 0 || h >= xs.h || w < 0 || w >= xs.w) continue;
            for (int64_t c = 0; c < ys.c; ++c)
              f(At(xs, n, h, w, c), At(ys, n, p, q, c), i * o.kernel_w + j);
          }
}

// What each output divides by.
Values Divisors(const PoolOptions& o, const Shape& xs, const Shape& ys) {
  Values divisors(ys.elements(), 0.0);
  if (!o.count_include_pad) {
    ForEachPixel(o, xs, ys, [&](int64_t, int64_t out, int64_t) { divisors[out] += 1.0; });
    return divisors;
  }
  for (int64_t i = 0; i < ys.elements(); ++i) {
    const int64_t p = i / (ys.c * ys.w) % ys.h, q = i / ys.c % ys.w;
    const int64_t top = p * o.stride_h - o.pad_top, left = q * o.stride_w - o.pad_left;
    divisors[i] = static_cast<double>((std::min(top + o.kernel_h, xs.h + o.pad_top) - top) *
                                      (std::min(left + o.kernel_w, xs.w + o.pad_left) - left));
  }
  return divisors;
}

}  // namespace

MaxPooled MaxPoolForward(const PoolOptions& options, const Shape& x_shape, const Values& x,
                         const Shape& y_shape) {
  MaxPooled pooled{Values(y_shape.elements(), -HUGE_VAL),
                   std::vector<uint8_t>(y_shape.elements(), 255)};
  ForEachPixel(options, x_shape, y_shape, [&](int64_t in, int64_t out, int64_t place) {
    double& best = pooled.y[out];
    const bool first = pooled.index[out] == 255;
    if (!first && (std::isnan(best) || x[in] <= best)) return;
    best = x[in];
    pooled.index[out] = static_cast<uint8_t>(place);
  });
  return pooled;
}

Values MaxPoolBackward(const PoolOptions& options, const Shape& y_shape,
                       const std::vector<uint8_t>& index, const Values& dy, const Shape& x_shape) {
  Values dx(x_shape.elements(), 0.0);
  ForEachPixel(options, x_shape, y_shape, [&](int64_t in, int64_t out, int64_t place) {
    if (index[out] == place) dx[in] += dy[out];
  });
  return dx;
}

Values AveragePoolForward(const PoolOptions& options, const Shape& x_shape, const Values& x,
                          const Shape& y_shape) {
  const Values divisors = Divisors(options, x_shape, y_shape);
  Values y(y_shape.elements(), 0.0);
  ForEachPixel(options, x_shape, y_shape,
               [&](int64_t in, int64_t out, int64_t) { y[out] += x[in] / divisors[out]; });
  return y;
}

Values AveragePoolBackward(const PoolOptions& options, const Shape& y_shape, const Values& dy,
                           const Shape& x_shape) {
  const Values divisors = Divisors(options, x_shape, y_shape);
  Values dx(x_shape.elements(), 0.0);
  ForEachPixel(options, x_shape, y_shape,
               [&](int64_t in, int64_t out, int64_t) { dx[in] += dy[out] / divisors[out]; });
  return dx;
}

}  // namespace encke::reference
