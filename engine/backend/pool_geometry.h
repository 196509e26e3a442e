// Which pixels meet in a pooling window, for all backends.
#pragma once

#include <algorithm>
#include <cstdint>

#include "engine/backend/backend.h"
#include "engine/core/error.h"
#include "engine/core/host_device.h"

namespace encke {

// Half-open.
template <typename Int>
struct SpanOf {
  Int begin, end;
};

// Windows of `kernel` pixels, `stride` apart, over `input` pixels; the first begins `pad` pixels
// before the input.
template <typename Int, typename Stride = Int>
struct PoolAxisOf {
  Int input, output, kernel;
  Stride stride;
  Int pad;

  // Where the window of output p begins; may be negative.
  ENCKE_HOST_DEVICE Int Start(Int p) const { return p * stride - pad; }
  // The input pixels of that window.
  ENCKE_HOST_DEVICE SpanOf<Int> Inputs(Int p) const {
    return {std::max<Int>(Start(p), 0), std::min<Int>(Start(p) + kernel, input)};
  }
  // The outputs whose windows hold input pixel h.
  ENCKE_HOST_DEVICE SpanOf<Int> Outputs(Int h) const {
    const Int before = h + pad - kernel;  // windows that start here or earlier end before h
    const Int first = before < 0 ? 0 : before / stride + 1;
    return {std::min<Int>(first, output), std::min<Int>((h + pad) / stride + 1, output)};
  }
};

using Span = SpanOf<int64_t>;
using PoolAxis = PoolAxisOf<int64_t>;

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
