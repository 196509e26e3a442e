#include "engine/backend/cpu/conv_gemm.h"

#include <algorithm>

#include "engine/backend/cpu/simd.h"
#include "engine/backend/cpu/sum_rows.h"

namespace encke::cpu {
namespace {

// Whether x serves as the rows.
bool IsPlain(const ConvOptions& o) {
  return o.kernel_h * o.kernel_w * o.stride_h * o.stride_w == 1 &&
         o.pad_top + o.pad_bottom + o.pad_left + o.pad_right == 0;
}

int64_t RowElements(const ConvCall& call) {
  return call.options.kernel_h * call.options.kernel_w * call.x.c;
}

// Lines of y whose rows fit the workspace; divides the number of lines.
int64_t BlockLines(const ConvCall& call, int64_t max_rows_bytes) {
  const int64_t lines = call.y.n * call.y.h;
  if (IsPlain(call.options)) return lines;
  const int64_t line_bytes = call.y.w * RowElements(call) * SizeOf(DType::F32);
  int64_t block = std::clamp<int64_t>(max_rows_bytes / line_bytes, 1, lines);
  while (lines % block != 0) --block;
  return block;
}

// Copies a window's line: taps [w, w + taps) of an image's line of `width` pixels, 0 outside.
void CopyTaps(const float* line, int64_t width, int64_t channels, int64_t w, int64_t taps,
              float* out) {
  const int64_t begin = std::clamp<int64_t>(-w, 0, taps);
  const int64_t end = std::clamp<int64_t>(width - w, begin, taps);
  std::fill(out, out + begin * channels, 0.0f);
  if (begin < end)
    std::copy_n(line + (w + begin) * channels, (end - begin) * channels, out + begin * channels);
  std::fill(out + end * channels, out + taps * channels, 0.0f);
}

// Copies the windows of line p of y from `image`.
void CopyWindows(const ConvCall& call, const float* image, int64_t p, float* out) {
  const ConvOptions& o = call.options;
  const Shape& x = call.x;
  const int64_t taps = o.kernel_w * x.c;
  for (int64_t q = 0; q < call.y.w; ++q) {
    for (int64_t r = 0; r < o.kernel_h; ++r, out += taps) {
      const int64_t h = p * o.stride_h - o.pad_top + r;
      if (h < 0 || h >= x.h) {
        std::fill(out, out + taps, 0.0f);
      } else {
        CopyTaps(image + h * x.w * x.c, x.w, x.c, q * o.stride_w - o.pad_left, o.kernel_w, out);
      }
    }
  }
}

bool ForwardWins(const ConvCall& call, int64_t pixels, int64_t channels) {
  return call.options.kernel_h * call.options.kernel_w == 1 && pixels <= 196 &&
         channels >= 512 * 1024;
}

bool BackwardFilterWins(const ConvCall& call, int64_t pixels, int64_t channels) {
  const ConvOptions& o = call.options;
  if (pixels <= 64 && channels >= 256 * 512) return true;
  if (o.kernel_h * o.kernel_w == 1) return IsPlain(o) && pixels <= 196 && channels >= 256 * 1024;
  return o.stride_h > 1 && call.x.c >= 128 && call.y.c >= 128;
}

}  // namespace

bool GemmConv::Computes(const ConvCall& call) {
  const ConvOptions& o = call.options;
  return call.kind != ConvKind::BACKWARD_DATA && call.dtype == DType::F32 && o.groups == 1 &&
         o.dilation_h == 1 && o.dilation_w == 1;
}

bool GemmConv::Wins(const ConvCall& call) {
  if (!Computes(call)) return false;
  const int64_t pixels = call.y.h * call.y.w, channels = call.x.c * call.y.c;
  return call.kind == ConvKind::FORWARD ? ForwardWins(call, pixels, channels)
                                        : BackwardFilterWins(call, pixels, channels);
}

GemmConv::GemmConv(const ConvCall& call, const dnnl::engine& engine, int64_t max_rows_bytes)
    : call_(call),
      row_(RowElements(call)),
      block_(BlockLines(call, max_rows_bytes)),
      first_(BlockCall(call.accumulate), engine),
      next_(BlockCall(call.kind == ConvKind::BACKWARD_FILTER), engine) {
  WorkspaceLayout layout;
  rows_at_ = layout.Add(IsPlain(call.options) ? 0 : block_ * call.y.w * row_ * SizeOf(DType::F32));
  scratch_at_ = layout.Add(std::max(first_.scratch_bytes(), next_.scratch_bytes()));
  workspace_bytes_ = layout.total();
}

MatmulCall GemmConv::BlockCall(bool accumulate) const {
  const int64_t pixels = block_ * call_.y.w, k = call_.y.c;
  if (call_.kind == ConvKind::FORWARD) return {pixels, row_, k, false, true, call_.bias, false};
  return {k, pixels, row_, true, false, false, accumulate};
}

const float* GemmConv::Rows(const float* x, int64_t line, float* gathered) const {
  const Shape& s = call_.x;
  const int64_t p_count = call_.y.h, line_elements = call_.y.w * row_;
  if (IsPlain(call_.options)) return x + line * line_elements;
  ParallelFor(block_, RowGrain(line_elements), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float* image = x + (line + i) / p_count * s.sample();
      CopyWindows(call_, image, (line + i) % p_count, gathered + i * line_elements);
    }
  });
  return gathered;
}

void GemmConv::Run(dnnl::stream& stream, const Workspace& workspace, const ConvBuffers& buffers) {
  const bool forward = call_.kind == ConvKind::FORWARD;
  const int64_t lines = call_.y.n * call_.y.h, line_elements = call_.y.w * call_.y.c;
  const auto* x = static_cast<const float*>(buffers.x);
  auto* filter = static_cast<float*>(const_cast<void*>(buffers.filter));
  auto* bias = static_cast<float*>(const_cast<void*>(buffers.bias));
  auto* y = static_cast<float*>(const_cast<void*>(buffers.y));
  void* scratch = workspace.At(scratch_at_);
  for (int64_t line = 0; line < lines; line += block_) {
    const float* rows = Rows(x, line, workspace.At<float>(rows_at_));
    float* y_block = y + line * line_elements;
    MatmulPlan& plan = line == 0 ? first_ : next_;
    if (forward) {
      plan.Run(stream, {rows, filter, bias, y_block}, scratch);
    } else {
      plan.Run(stream, {y_block, rows, nullptr, filter}, scratch);
    }
  }
  if (!forward && call_.bias) SumRows(y, lines * call_.y.w, call_.y.c, call_.accumulate, bias);
}

}  // namespace encke::cpu
