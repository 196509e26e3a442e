#include "layers/windows.h"

#include "engine/core/error.h"

namespace encke {
namespace {

void RequirePositive(const WindowAxis& axis, const char* what, int64_t value) {
  if (value > 0) return;
  throw Error(ErrorKind::CONFIG, StrCat(what, " ", value, " along the ", axis.name), "",
              StrCat("a ", what, " is at least 1"));
}

void Validate(const WindowAxis& axis) {
  RequirePositive(axis, "kernel", axis.kernel);
  RequirePositive(axis, "stride", axis.stride);
  RequirePositive(axis, "dilation", axis.dilation);
  if (axis.pad_before < 0 || axis.pad_after < 0) {
    throw Error(ErrorKind::CONFIG, StrCat("negative padding along the ", axis.name), "",
                "padding is at least 0");
  }
}

int64_t CountPoolWindows(const WindowAxis& axis, bool ceil_mode) {
  Validate(axis);
  if (axis.pad_before > axis.kernel / 2) {
    throw Error(ErrorKind::CONFIG,
                StrCat("padding ", axis.pad_before, " is more than half of kernel ", axis.kernel,
                       " along the ", axis.name),
                "", StrCat("at most ", axis.kernel / 2, " fits"));
  }
  const int64_t windows = CountWindows(axis);
  const int64_t covered = (windows - 1) * axis.stride + axis.kernel;
  const bool more = covered < axis.input + axis.pad_before + axis.pad_after;
  const bool starts_inside = windows * axis.stride < axis.input + axis.pad_before;
  return ceil_mode && more && starts_inside ? windows + 1 : windows;
}

}  // namespace

int64_t CountWindows(const WindowAxis& axis) {
  Validate(axis);
  const int64_t reach = (axis.kernel - 1) * axis.dilation + 1;
  const int64_t padding = axis.pad_before + axis.pad_after;
  if (axis.input + padding < reach) {
    const int64_t fits = (axis.input + padding - 1) / axis.dilation + 1;
    throw Error(ErrorKind::CONFIG,
                StrCat("kernel ", axis.kernel,
                       axis.dilation > 1 ? StrCat(" with dilation ", axis.dilation) : "",
                       " reaches over ", reach, " pixels of ", axis.name, ", but the input has ",
                       axis.input, " and padding adds ", padding),
                "",
                StrCat("a kernel of at most ", fits, " fits, or padding that adds ",
                       reach - axis.input, ", or a larger image"));
  }
  return (axis.input + padding - reach) / axis.stride + 1;
}

double ShareInside(const WindowAxis& axis) {
  const int64_t windows = CountWindows(axis);
  int64_t inside = 0;
  for (int64_t tap = 0; tap < axis.kernel; ++tap) {
    for (int64_t window = 0; window < windows; ++window) {
      const int64_t at = window * axis.stride + tap * axis.dilation - axis.pad_before;
      inside += at >= 0 && at < axis.input;
    }
  }
  return static_cast<double>(inside) / static_cast<double>(axis.kernel * windows);
}

Shape PooledShape(const PoolOptions& options, bool ceil_mode, const Shape& input) {
  const WindowAxis height{"height", input.h,         options.kernel_h, options.stride_h,
                          1,        options.pad_top, options.pad_top};
  const WindowAxis width{"width", input.w,          options.kernel_w, options.stride_w,
                         1,       options.pad_left, options.pad_left};
  return {input.n, CountPoolWindows(height, ceil_mode), CountPoolWindows(width, ceil_mode),
          input.c};
}

const Shape& OnlyInput(const std::vector<Shape>& inputs) {
  ENCKE_CHECK(inputs.size() == 1, inputs.size(), " inputs");
  return inputs[0];
}

}  // namespace encke
