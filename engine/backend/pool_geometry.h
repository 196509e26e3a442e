// Which pixels meet in a pooling window, for all backends.
#pragma once

#include <algorithm>
#include <cstdint>

#include "engine/backend/backend.h"
#include "engine/core/error.h"
#include "engine/core/host_device.h"

namespace encke {

// Half-open.
struct Span {
  int64_t begin, end;
};

// Windows of `kernel` pixels, `stride` apart, over `input` pixels; the first begins `pad` pixels
// before the input.
struct PoolAxis {
  int64_t input, output, kernel, stride, pad;

  // Where the window of output p begins; may be negative.
  ENCKE_HOST_DEVICE int64_t Start(int64_t p) const { return p * stride - pad; }
  // The input pixels of that window.
  ENCKE_HOST_DEVICE Span Inputs(int64_t p) const {
    return {std::max<int64_t>(Start(p), 0), std::min(Start(p) + kernel, input)};
  }
  // The outputs whose windows hold input pixel h.
  ENCKE_HOST_DEVICE Span Outputs(int64_t h) const {
    const int64_t before = h + pad - kernel;  // windows that start here or earlier end before h
    const int64_t first = before < 0 ? 0 : before / stride + 1;
    return {std::min(first, output), std::min((h + pad) / stride + 1, output)};
  }
};

struct PoolGeometry {
  // Checks that every window holds at least one pixel.
  PoolGeometry(const PoolOptions& o, const Shape& x, const Shape& y)
      : n(x.n),
        c(x.c),
        h{x.h, y.h, o.kernel_h, o.stride_h, o.pad_top},
        w{x.w, y.w, o.kernel_w, o.stride_w, o.pad_left} {
    ENCKE_CHECK(x.n == y.n && x.c == y.c, x.ToString(), " to ", y.ToString());
    ENCKE_CHECK(o.pad_top < o.kernel_h && o.pad_left < o.kernel_w, o.pad_top, ", ", o.pad_left);
    ENCKE_CHECK(h.Start(y.h - 1) < x.h && w.Start(y.w - 1) < x.w, x.ToString(), " to ",
                y.ToString());
  }

  int64_t n, c;
  PoolAxis h, w;
};

}  // namespace encke
