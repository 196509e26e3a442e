#include "engine/backend/cpu/conv_flipped.h"

#include <algorithm>

#include "engine/backend/cpu/simd.h"

namespace encke::cpu {
namespace {

// The forward convolution from dy to dx.
ConvCall ForwardCall(const ConvCall& call) {
  ConvCall forward = call;
  ConvOptions& o = forward.options;
  const int64_t reach_h = (o.kernel_h - 1) * o.dilation_h;
  const int64_t reach_w = (o.kernel_w - 1) * o.dilation_w;
  o.pad_top = reach_h - o.pad_top;
  o.pad_bottom = reach_h - o.pad_bottom;
  o.pad_left = reach_w - o.pad_left;
  o.pad_right = reach_w - o.pad_right;
  forward.kind = ConvKind::FORWARD;
  std::swap(forward.x, forward.y);
  return forward;
}

bool HasNegativePad(const ConvOptions& o) {
  return std::min({o.pad_top, o.pad_bottom, o.pad_left, o.pad_right}) < 0;
}

// Whether oneDNN has its batch-reduced kernels (brgconv), the fast ones in NHWC.
bool HasBrgconv() {
  constexpr int kAvx512 = dnnl_cpu_isa_avx512_core;  // a set of bits, which later ones contain
  return (static_cast<int>(dnnl::get_effective_cpu_isa()) & kAvx512) == kAvx512;
}

constexpr int64_t kLine = 16;  // floats of a cache line

// flipped[c][t][k] = w[k][taps - 1 - t][c] for the channels [c, c + kLine).
ENCKE_INLINE inline void FlipLine(const float* w, int64_t k_count, int64_t taps, int64_t channels,
                                  int64_t t, int64_t c, float* flipped) {
  const int64_t lanes = std::min(kLine, channels - c);
  for (int64_t k = 0; k < k_count; ++k) {
    const float* from = w + (k * taps + taps - 1 - t) * channels + c;
    for (int64_t i = 0; i < lanes; ++i) flipped[((c + i) * taps + t) * k_count + k] = from[i];
  }
}

void FlipFilter(const float* w, int64_t k, int64_t taps, int64_t c, float* flipped) {
  const int64_t lines = (c + kLine - 1) / kLine;
  ParallelFor(lines * taps, RowGrain(kLine * k), [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      FlipLine(w, k, taps, c, i % taps, i / taps * kLine, flipped);
  });
}

}  // namespace

bool FlippedConv::Computes(const ConvCall& call) {
  const ConvOptions& o = call.options;
  return call.kind == ConvKind::BACKWARD_DATA && o.groups == 1 && o.stride_h == 1 &&
         o.stride_w == 1 && !HasNegativePad(ForwardCall(call).options);
}

bool FlippedConv::Wins(const ConvCall& call) {
  constexpr int64_t kMinPixels = 2048;
  return HasBrgconv() && Computes(call) && call.options.kernel_h * call.options.kernel_w > 1 &&
         call.y.n * call.y.h * call.y.w >= kMinPixels;
}

FlippedConv::FlippedConv(const ConvCall& call, const dnnl::engine& engine)
    : k_(call.y.c),
      taps_(call.options.kernel_h * call.options.kernel_w),
      c_(call.x.c),
      forward_(ForwardCall(call), engine) {
  WorkspaceLayout layout;
  layout.Add(forward_.workspace_bytes());
  flipped_at_ = layout.Add(k_ * taps_ * c_ * SizeOf(DType::F32));
  workspace_bytes_ = layout.total();
}

void FlippedConv::Run(dnnl::stream& stream, const Workspace& workspace,
                      const ConvBuffers& buffers) {
  float* flipped = workspace.At<float>(flipped_at_);
  FlipFilter(static_cast<const float*>(buffers.filter), k_, taps_, c_, flipped);
  forward_.Run(stream, workspace, {buffers.y, flipped, nullptr, buffers.x});
}

}  // namespace encke::cpu
