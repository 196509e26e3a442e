#include "engine/backend/cpu/conv_winograd_filter.h"

#include <algorithm>

#include "engine/backend/cpu/conv_winograd.h"
#include "engine/backend/cpu/simd.h"
#include "engine/backend/cpu/sum_rows.h"
#include "engine/core/memory.h"

namespace encke::cpu {
namespace {

using winograd::kChannelStep;
using winograd::kPositions;
using winograd::kTile;
using winograd::OddLines;

constexpr int64_t kFilterTaps = winograd::kTaps * winograd::kTaps;

int64_t Parts(int64_t channels, int64_t area) { return (channels + area - 1) / area; }

// One of `parts` about equal parts of the channels.
int64_t Part(int64_t channels, int64_t parts) {
  return RoundUp(Parts(channels, parts), kChannelStep);
}

// Channels of an area of [k, c] whose products fit `max_bytes`, so many areas that each thread has
// one: about as many of both kinds, since each area transforms its own.
WinogradFilterConv::AreaSize SizeFor(int64_t k, int64_t c, int64_t max_bytes) {
  WinogradFilterConv::AreaSize size = {Part(k, 1), Part(c, 1)};
  const auto too_large = [&] {
    const int64_t areas = Parts(k, size.k) * Parts(c, size.c);
    return areas < Threads() || kPositions * size.k * size.c * SizeOf(DType::F32) > max_bytes;
  };
  while (too_large() && std::max(size.k, size.c) > kChannelStep) {
    int64_t& larger = size.k >= size.c ? size.k : size.c;
    larger = Part(larger, 2);
  }
  return size;
}

}  // namespace

bool WinogradFilterConv::Computes(const ConvCall& call) {
  ConvCall forward = call;
  forward.kind = ConvKind::FORWARD;
  return call.kind == ConvKind::BACKWARD_FILTER && WinogradConv::Computes(forward);
}

bool WinogradFilterConv::Wins(const ConvCall& call) {
  return winograd::BestKernels() != nullptr && Computes(call) &&
         winograd::PaysOff(call.x.c * call.y.c, winograd::TileGrid(call.y).count);
}

WinogradFilterConv::WinogradFilterConv(const ConvCall& call, const winograd::Kernels& kernels,
                                       int64_t max_product_bytes)
    : kernels_(kernels),
      x_(call.x),
      y_(call.y),
      bias_(call.bias),
      accumulate_(call.accumulate),
      grid_(y_),
      windows_{x_, winograd::kWindow, call.options.pad_top, call.options.pad_left},
      results_{y_, kTile, 0, 0},
      area_(SizeFor(y_.c, x_.c, max_product_bytes)),
      chunk_(winograd::ChunkFor(std::max(area_.k, area_.c))),
      tiles_(chunk_, area_.c),
      gradients_(chunk_, area_.k),
      product_stride_(OddLines(area_.k * area_.c)),
      scratch_floats_(tiles_.floats() + gradients_.floats() + kPositions * product_stride_) {
  WorkspaceLayout layout;
  zeros_at_ = layout.Add(std::max(x_.c, y_.c) * SizeOf(DType::F32));
  scratch_at_ = layout.Add(Threads() * scratch_floats_ * SizeOf(DType::F32));
  workspace_bytes_ = layout.total();
}

std::string WinogradFilterConv::implementation() const {
  return StrCat("winograd:", kernels_.name);
}

WinogradFilterConv::Area WinogradFilterConv::AreaAt(int64_t index) const {
  const int64_t c_parts = Parts(x_.c, area_.c);
  const int64_t k = index / c_parts * area_.k, c = index % c_parts * area_.c;
  return {k, std::min(area_.k, y_.c - k), c, std::min(area_.c, x_.c - c)};
}

void WinogradFilterConv::Multiply(const float* gradients, const float* tiles, int64_t count,
                                  const Area& area, bool accumulate, float* products) const {
  for (int64_t p = 0; p < kPositions; ++p) {
    kernels_.multiply({area.k_count, count, area.c_count, gradients + p * gradients_.stride, 1,
                       gradients_.row, tiles + p * tiles_.stride, tiles_.row,
                       products + p * product_stride_, area.c_count, accumulate});
  }
}

void WinogradFilterConv::Store(const Job& job, const Area& area, const float* products) const {
  for (int64_t i = 0; i < area.k_count; ++i) {
    float* taps[kFilterTaps];
    for (int64_t t = 0; t < kFilterTaps; ++t)
      taps[t] = job.filter + ((area.k + i) * kFilterTaps + t) * x_.c + area.c;
    kernels_.transform_filter_gradient(products + i * area.c_count, product_stride_, area.c_count,
                                       accumulate_, taps);
  }
}

void WinogradFilterConv::RunArea(const Job& job, const Area& area, float* scratch) const {
  float* tiles = scratch;
  float* gradients = tiles + tiles_.floats();
  float* products = gradients + gradients_.floats();
  winograd::ForChunks(0, grid_.count, chunk_, [&](int64_t first, int64_t count) {
    TransformTiles(grid_, windows_, kernels_.transform_input, job.x + area.c, job.zeros,
                   area.c_count, first, count, tiles_, tiles);
    TransformTiles(grid_, results_, kernels_.transform_gradient, job.dy + area.k, job.zeros,
                   area.k_count, first, count, gradients_, gradients);
    Multiply(gradients, tiles, count, area, first > 0, products);
  });
  Store(job, area, products);
}

void WinogradFilterConv::Run(dnnl::stream&, const Workspace& workspace,
                             const ConvBuffers& buffers) {
  float* zeros = workspace.At<float>(zeros_at_);
  std::fill_n(zeros, std::max(x_.c, y_.c), 0.0f);
  const Job job = {static_cast<const float*>(buffers.x), static_cast<const float*>(buffers.y),
                   static_cast<float*>(const_cast<void*>(buffers.filter)), zeros,
                   workspace.At<float>(scratch_at_)};
  const int64_t areas = Parts(y_.c, area_.k) * Parts(x_.c, area_.c);
  ParallelForIndexed(areas, 1, [&](int thread, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      RunArea(job, AreaAt(i), job.scratch + thread * scratch_floats_);
  });
  auto* bias = static_cast<float*>(const_cast<void*>(buffers.bias));
  if (bias_) SumRows(job.dy, y_.n * y_.h * y_.w, y_.c, accumulate_, bias);
}

}  // namespace encke::cpu
