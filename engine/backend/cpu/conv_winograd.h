// Convolutions with 3x3 filters and stride 1 by Winograd's F(4x4, 3x3): a quarter of the products
// (winograd/kernels.h says how). Forward, and backward data as the forward convolution of dy with
// the filter turned by 180 degrees and its channels swapped.
//
// The filters of a group of output channels are transformed into memory that all threads share.
// Then each thread takes its part of the tiles, chunk by chunk, within its second-level cache:
//
//   w --> filters [36, C, group] (shared) -+
//   x --> tiles [36, chunk, C] ------------+--> products [36, chunk, kColumns] --> y
//
// The workspace is bounded by the filter and the number of threads, not by images and batch.
//
// Measured on AVX-512, one thread of a busy machine, CPU ms, the fastest other plan / Winograd
// (channels@size x batch; data and filter: backward):
//
//            32@16x64   64@28x64   128@14x64  256@7x64   512@4x64   512@7x8    512@28x8
//   forward  2.7 / 1.5  32 / 13.4  31 / 16.5  29 / 18.9  41 / 22.0  17 / 12.5  256 / 115
//   data     2.7 / 1.5  32 / 15.9  32 / 16.4  29 / 17.5  34 / 20.9  15 / 12.3  258 / 112
//   filter   2.6 / 1.3  36 / 14.8  36 / 20.6  32 / 20.3  47 / 21.2  18 / 9.1   291 / 136
//
// Least where a map's edge leaves most of a tile unused. With 16 channels the transforms take what
// the products save.
//
// Against oneDNN's direct convolution of random values the greatest difference was 8e-7 of the
// greatest result for 32 channels, 5e-6 for 512; tests allow 1e-5 of it.
#pragma once

#include <cstdint>
#include <string>

#include "engine/backend/cpu/conv_plan.h"
#include "engine/backend/cpu/winograd/tiles.h"

namespace encke::cpu {

class WinogradConv : public ConvPlan {
 public:
  static constexpr int64_t kMaxFilterBytes = int64_t{5} << 20;

  static bool Computes(const ConvCall& call);
  // Whether it does so faster than the other plans: with enough channels that the transforms are
  // made up for, and enough tiles for the filter's.
  static bool Wins(const ConvCall& call);

  // Transforms the filters of as many output channels at once as fit `max_filter_bytes`.
  // REQUIRES: Computes(call), and this machine runs the kernels.
  WinogradConv(const ConvCall& call, const winograd::Kernels& kernels,
               int64_t max_filter_bytes = kMaxFilterBytes);

  int64_t workspace_bytes() const override { return workspace_bytes_; }
  std::string implementation() const override;
  void Run(dnnl::stream& stream, const Workspace& workspace, const ConvBuffers& buffers) override;

 private:
  // What one Run() works on.
  struct Job {
    const float *from, *filter, *bias;
    float* to;
    const float* zeros;
    float *filters, *scratch;  // scratch: scratch_floats_ for each thread
  };
  // Output channels.
  struct Channels {
    int64_t first, count;
  };

  // Transforms the filters of `group`, over all threads.
  void TransformFilters(const Job& job, const Channels& group) const;
  // The same for the input channels [c, c + kChannelStep).
  void TransformTaps(const Job& job, const Channels& group, int64_t c, float* scratch) const;
  // Computes `group` of the tiles [begin, end) in one thread, in its `scratch`.
  void RunTiles(const Job& job, const Channels& group, int64_t begin, int64_t end,
                float* scratch) const;
  void Multiply(const float* tiles, int64_t count, const float* filters, int64_t columns,
                float* products) const;
  void Store(const Job& job, int64_t first, int64_t count, const Channels& channels,
             const float* products) const;

  bool backward_;
  const winograd::Kernels& kernels_;
  Shape from_, to_;  // x and y, or dy and dx
  winograd::TileGrid grid_;
  winograd::TileSquares windows_, results_;
  int64_t group_;  // output channels whose filters are transformed at once
  int64_t chunk_;  // tiles
  winograd::TileLayout tiles_;
  int64_t filter_stride_, product_stride_;
  int64_t scratch_floats_;
  int64_t zeros_at_ = 0, filters_at_ = 0, scratch_at_ = 0;  // in the workspace
  int64_t workspace_bytes_ = 0;
};

}  // namespace encke::cpu
