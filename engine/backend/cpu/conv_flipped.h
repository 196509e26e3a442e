// Backward data of a convolution with stride 1 as the forward convolution that it is: of dy with
// the filter turned by 180 degrees and its channels swapped, dx = dy * flip(w). oneDNN's forward
// kernels are faster than its backward ones; turning the filter costs a copy of it.
//
// Measured with oneDNN 2.6.3 on AVX-512, one thread, CPU ms of the 3x3 layers (channels@size x
// batch):
//
//                    64@28x64  128@14x64  256@7x64  256@56x8  512@28x8  512@14x8  512@4x64
//   oneDNN backward      34.7       40.4      35.3       300       578        66      35.5
//   flipped              32.3       32.6      28.5       268       262        72      42
//
// In bf16 the two are within 10% of each other; with AVX2 alone oneDNN's forward kernels are no
// faster in NHWC, and this plan is not chosen.
//
// The copy is made up for where the filter is used on many pixels: from kMinPixels of dy on, images
// of the batch together.
#pragma once

#include <cstdint>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>

#include "engine/backend/cpu/conv_direct.h"

namespace encke::cpu {

class FlippedConv : public ConvPlan {
 public:
  static bool Computes(const ConvCall& call);
  // Whether it does so faster than oneDNN's backward convolution.
  static bool Wins(const ConvCall& call);

  // REQUIRES: Computes(call).
  FlippedConv(const ConvCall& call, const dnnl::engine& engine);

  int64_t workspace_bytes() const override { return workspace_bytes_; }
  std::string implementation() const override { return forward_.implementation(); }
  void Run(dnnl::stream& stream, const Workspace& workspace, const ConvBuffers& buffers) override;

 private:
  int64_t k_, taps_, c_;  // of the filter [K,R,S,C]; taps: R * S
  DirectConv forward_;
  int64_t flipped_at_ = 0;  // in the workspace, behind what `forward_` takes
  int64_t workspace_bytes_ = 0;
};

}  // namespace encke::cpu
