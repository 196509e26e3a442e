// The filter's gradient of a convolution with 3x3 filters and stride 1 by the transpose of
// Winograd's F(4x4, 3x3): a quarter of the products (winograd/kernels.h says how).
//
// The pairs of channels are cut into areas, each the work of one thread, which takes the tiles
// chunk by chunk within its second-level cache:
//
//   dy --> gradients [36, chunk, k_area] -+
//   x  --> tiles     [36, chunk, c_area] -+--> products [36, k_area, c_area] (+=) --> dw (+=)
//
// All of this memory is the thread's own. Threads transform the same tiles again, for which they
// need not wait for each other. The sums do not depend on the number of threads.
#pragma once

#include <cstdint>
#include <string>

#include "engine/backend/cpu/conv_plan.h"
#include "engine/backend/cpu/winograd/tiles.h"

namespace encke::cpu {

class WinogradFilterConv : public ConvPlan {
 public:
  static constexpr int64_t kMaxProductBytes = int64_t{5} << 19;

  // Output and input channels of an area, at most.
  struct AreaSize {
    int64_t k, c;
  };

  static bool Computes(const ConvCall& call);
  // Whether it does so faster than the other plans.
  static bool Wins(const ConvCall& call);

  // Areas have products of at most `max_product_bytes`, but 16 channels of both kinds.
  // REQUIRES: Computes(call), and this machine runs the kernels.
  WinogradFilterConv(const ConvCall& call, const winograd::Kernels& kernels,
                     int64_t max_product_bytes = kMaxProductBytes);

  int64_t workspace_bytes() const override { return workspace_bytes_; }
  std::string implementation() const override;
  void Run(dnnl::stream& stream, const Workspace& workspace, const ConvBuffers& buffers) override;

 private:
  // What one Run() works on.
  struct Job {
    const float *x, *dy;
    float* filter;  // dw
    const float* zeros;
    float* scratch;  // scratch_floats_ for each thread
  };
  // The pairs of the output channels [k, k + k_count) and the input channels [c, c + c_count).
  struct Area {
    int64_t k, k_count, c, c_count;
  };

  Area AreaAt(int64_t index) const;
  void RunArea(const Job& job, const Area& area, float* scratch) const;
  void Multiply(const float* gradients, const float* tiles, int64_t count, const Area& area,
                bool accumulate, float* products) const;
  void Store(const Job& job, const Area& area, const float* products) const;

  const winograd::Kernels& kernels_;
  Shape x_, y_;
  bool bias_, accumulate_;
  winograd::TileGrid grid_;
  winograd::TileSquares windows_, results_;
  AreaSize area_;
  int64_t chunk_;  // tiles
  winograd::TileLayout tiles_, gradients_;
  int64_t product_stride_;
  int64_t scratch_floats_;
  int64_t zeros_at_ = 0, scratch_at_ = 0;  // in the workspace
  int64_t workspace_bytes_ = 0;
};

}  // namespace encke::cpu
