// Convolutions as matrix products. With x's windows gathered as rows (im2col; for a 1x1 filter with
// stride 1 the rows are x itself),
//
//   forward          y [NPQ,K]  = rows [NPQ,RSC] w^T
//   backward filter  dw [K,RSC] = dy^T [K,NPQ] rows
//
// the filter stays as it is and dw is written once, where oneDNN's convolutions reorder the filter
// and add to its gradient for every image. That wins where filters are large and images small, and
// for strided filters, which the convolutions' kernels are not made for.
//
// Measured with oneDNN 2.6.3 on AVX-512, one thread, CPU ms (channels in-out@size x batch; s2:
// stride 2):
//
//   backward filter             convolution  GEMM    forward                convolution  GEMM
//   3x3 512-512@4x64                   89.8  50.4    1x1 s2 512-1024@28x8          27.5  16.9
//   3x3 512-512@7x8                    29.5  19.3    1x1 s2 1024-2048@14x8         22.1  15.7
//   3x3 s2 128-128@56x8                30.2  22.6    1x1 2048-512@7x8              10.5   7.5
//   3x3 s2 256-256@28x8                30.1  19.5    1x1 512-2048@7x8               9.7   7.9
//   3x3 s2 512-512@14x8                39.1  18.8    3x3 512-512@4x64              41.2  46.4
//   3x3 s2 128-256@14x64               28.5  19.4    3x3 256-256@7x64              29.3  40.0
//   1x1 s2 1024-2048@14x8              25.5  15.7    1x1 64-256@56x8                9.0  11.1
//   1x1 2048-512@7x8                   11.8   8.0
//   1x1 1024-256@14x8                  10.4   8.3
//   3x3 256-256@7x64                   32.1  40.4
//   3x3 64-64@28x64                    38.1  47.0
//   1x1 64-64@56x8                      2.1   2.8
//
// ForwardWins() and BackwardFilterWins() draw the line between these.
#pragma once

#include <cstdint>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>

#include "engine/backend/cpu/conv_plan.h"
#include "engine/backend/cpu/matmul_plan.h"

namespace encke::cpu {

class GemmConv : public ConvPlan {
 public:
  static constexpr int64_t kMaxRowsBytes = int64_t{8} << 20;

  static bool Computes(const ConvCall& call);
  // Whether it does so faster than oneDNN's convolution.
  static bool Wins(const ConvCall& call);

  // Gathers as many rows at once as fit `max_rows_bytes`, a line of y's at least.
  // REQUIRES: Computes(call).
  GemmConv(const ConvCall& call, const dnnl::engine& engine,
           int64_t max_rows_bytes = kMaxRowsBytes);

  int64_t workspace_bytes() const override { return workspace_bytes_; }
  std::string implementation() const override { return first_.implementation(); }
  void Run(dnnl::stream& stream, const Workspace& workspace, const ConvBuffers& buffers) override;

 private:
  MatmulCall BlockCall(bool accumulate) const;
  // The rows of x's windows that give `block_` lines of y (an image and a p each) from `line` on.
  const float* Rows(const float* x, int64_t line, float* gathered) const;

  ConvCall call_;
  int64_t row_;    // floats of a window, RSC
  int64_t block_;  // lines of y computed at once, as many as the workspace has rows for
  MatmulPlan first_, next_;
  int64_t rows_at_ = 0, scratch_at_ = 0;  // in the workspace
  int64_t workspace_bytes_ = 0;
};

}  // namespace encke::cpu
