#include "engine/backend/cpu/conv_winograd.h"

#include <algorithm>

#include "engine/backend/cpu/simd.h"
#include "engine/core/memory.h"

namespace encke::cpu {
namespace {

using winograd::kChannelStep;
using winograd::kPositions;
using winograd::kRowStep;
using winograd::kTile;
using winograd::kWindow;
using winograd::OddLines;

constexpr int64_t kColumns = 64;  // output channels multiplied at once
constexpr int64_t kFilterTaps = winograd::kTaps * winograd::kTaps;

// Where a tile's window begins, before its results.
winograd::TileSquares Windows(const ConvCall& call) {
  const ConvOptions& o = call.options;
  if (call.kind == ConvKind::FORWARD) return {call.x, kWindow, o.pad_top, o.pad_left};
  return {call.y, kWindow, winograd::kTaps - 1 - o.pad_top, winograd::kTaps - 1 - o.pad_left};
}

// Output channels whose transformed filters fit `max_bytes`.
int64_t ChannelsInGroup(int64_t from, int64_t to, int64_t max_bytes) {
  const int64_t fit = max_bytes / (kPositions * from * SizeOf(DType::F32));
  return std::min(to, std::max(kColumns, fit / kColumns * kColumns));
}

// taps[t][i][k] = w[k][t][i] for kChannelStep channels i of `channels`.
void TransposeTaps(const float* w, int64_t channels, int64_t k_count, float* taps) {
  for (int64_t k = 0; k < k_count; ++k) {
    for (int64_t t = 0; t < kFilterTaps; ++t) {
      const float* from = w + (k * kFilterTaps + t) * channels;
      float* to = taps + t * kChannelStep * k_count + k;
      for (int64_t i = 0; i < kChannelStep; ++i) to[i * k_count] = from[i];
    }
  }
}

}  // namespace

bool WinogradConv::Computes(const ConvCall& call) {
  const ConvOptions& o = call.options;
  return call.dtype == DType::F32 && o.groups == 1 && o.kernel_h == winograd::kTaps &&
         o.kernel_w == winograd::kTaps && o.stride_h * o.stride_w == 1 &&
         o.dilation_h * o.dilation_w == 1 && call.x.c % kChannelStep == 0 &&
         call.y.c % kChannelStep == 0 && call.kind != ConvKind::BACKWARD_FILTER;
}

bool WinogradConv::Wins(const ConvCall& call) {
  const Shape& to = call.kind == ConvKind::FORWARD ? call.y : call.x;
  return winograd::BestKernels() != nullptr && Computes(call) &&
         winograd::PaysOff(call.x.c * call.y.c, winograd::TileGrid(to).count);
}

WinogradConv::WinogradConv(const ConvCall& call, const winograd::Kernels& kernels,
                           int64_t max_filter_bytes)
    : backward_(call.kind == ConvKind::BACKWARD_DATA),
      kernels_(kernels),
      from_(backward_ ? call.y : call.x),
      to_(backward_ ? call.x : call.y),
      grid_(to_),
      windows_(Windows(call)),
      results_{to_, kTile, 0, 0},
      group_(ChannelsInGroup(from_.c, to_.c, max_filter_bytes)),
      chunk_(winograd::ChunkFor(from_.c)),
      tiles_(chunk_, from_.c),
      filter_stride_(OddLines(from_.c * group_)),
      product_stride_(OddLines(chunk_ * kColumns)),
      scratch_floats_(std::max(tiles_.floats() + kPositions * product_stride_,
                               kFilterTaps * kChannelStep * group_)) {
  WorkspaceLayout layout;
  zeros_at_ = layout.Add(from_.c * SizeOf(DType::F32));
  filters_at_ = layout.Add(kPositions * filter_stride_ * SizeOf(DType::F32));
  scratch_at_ = layout.Add(Threads() * scratch_floats_ * SizeOf(DType::F32));
  workspace_bytes_ = layout.total();
}

std::string WinogradConv::implementation() const { return StrCat("winograd:", kernels_.name); }

void WinogradConv::TransformTaps(const Job& job, const Channels& group, int64_t c,
                                 float* scratch) const {
  if (!backward_) {
    TransposeTaps(job.filter + group.first * kFilterTaps * from_.c + c, from_.c, group.count,
                  scratch);
  }
  for (int64_t i = 0; i < kChannelStep; ++i) {
    const float* turned = job.filter + ((c + i + 1) * kFilterTaps - 1) * to_.c + group.first;
    const float* taps[kFilterTaps];
    for (int64_t t = 0; t < kFilterTaps; ++t) {
      taps[t] = backward_ ? turned - t * to_.c : scratch + (t * kChannelStep + i) * group.count;
    }
    kernels_.transform_filter(taps, group.count, job.filters + (c + i) * group_, filter_stride_);
  }
}

void WinogradConv::TransformFilters(const Job& job, const Channels& group) const {
  ParallelForIndexed(from_.c / kChannelStep, RowGrain(kPositions * kChannelStep * group.count),
                     [&](int thread, int64_t begin, int64_t end) {
                       float* scratch = job.scratch + thread * scratch_floats_;
                       for (int64_t i = begin; i < end; ++i)
                         TransformTaps(job, group, i * kChannelStep, scratch);
                     });
}

void WinogradConv::Multiply(const float* tiles, int64_t count, const float* filters,
                            int64_t columns, float* products) const {
  for (int64_t p = 0; p < kPositions; ++p) {
    kernels_.multiply({RoundUp(count, kRowStep), from_.c, columns, tiles + p * tiles_.stride,
                       tiles_.row, 1, filters + p * filter_stride_, group_,
                       products + p * product_stride_, columns, false});
  }
}

void WinogradConv::Store(const Job& job, int64_t first, int64_t count, const Channels& channels,
                         const float* products) const {
  const float* bias = job.bias == nullptr ? nullptr : job.bias + channels.first;
  float* pixels[kTile * kTile];
  for (int64_t i = 0; i < count; ++i) {
    results_.Locate<float>(grid_, first + i, job.to + channels.first, nullptr, pixels);
    kernels_.transform_output(products + i * channels.count, product_stride_, bias, channels.count,
                              pixels);
  }
}

void WinogradConv::RunTiles(const Job& job, const Channels& group, int64_t begin, int64_t end,
                            float* scratch) const {
  float* products = scratch + tiles_.floats();
  winograd::ForChunks(begin, end, chunk_, [&](int64_t first, int64_t count) {
    TransformTiles(grid_, windows_, kernels_.transform_input, job.from, job.zeros, from_.c, first,
                   count, tiles_, scratch);
    for (int64_t column = 0; column < group.count; column += kColumns) {
      const int64_t columns = std::min(kColumns, group.count - column);
      Multiply(scratch, count, job.filters + column, columns, products);
      Store(job, first, count, {group.first + column, columns}, products);
    }
  });
}

void WinogradConv::Run(dnnl::stream&, const Workspace& workspace, const ConvBuffers& buffers) {
  float* zeros = workspace.At<float>(zeros_at_);
  std::fill_n(zeros, from_.c, 0.0f);
  const Job job = {static_cast<const float*>(backward_ ? buffers.y : buffers.x),
                   static_cast<const float*>(buffers.filter),
                   static_cast<const float*>(buffers.bias),
                   static_cast<float*>(const_cast<void*>(backward_ ? buffers.x : buffers.y)),
                   zeros,
                   workspace.At<float>(filters_at_),
                   workspace.At<float>(scratch_at_)};
  for (int64_t first = 0; first < to_.c; first += group_) {
    const Channels group = {first, std::min(group_, to_.c - first)};
    TransformFilters(job, group);
    ParallelForIndexed(grid_.count, kRowStep, [&](int thread, int64_t begin, int64_t end) {
      RunTiles(job, group, begin, end, job.scratch + thread * scratch_floats_);
    });
  }
}

}  // namespace encke::cpu
