// How one convolution runs on cuDNN.
//
// Which of the plans that cuDNN proposes is fastest is measured at a problem's first run, on its
// own tensors. Only plans that fit into the workspace take part; it is planned for the plan that
// cuDNN put first, so that measuring changes no peak that was foretold.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/backend/cuda/cudnn_graph.h"

namespace encke::cuda {

class ConvAlgorithm {
 public:
  // `problem` as cuDNN takes it; `choice`: made earlier, or -1. empty() when cuDNN has no plan that
  // stays within the limit on scratch memory.
  ConvAlgorithm(cudnnHandle_t handle, const ConvProblem& problem, int64_t choice);

  bool empty() const { return plans_.empty(); }
  bool settled() const { return choice_ >= 0; }
  // REQUIRES: settled.
  int64_t choice() const { return choice_; }
  // What the plan that was chosen or, before that, cuDNN's first one needs.
  int64_t scratch_bytes() const { return plans_.empty() ? 0 : plans_.front().workspace_bytes(); }

  // Settles on the fastest of the plans that need no more than `scratch_bytes`; writes the result's
  // tensor while at it. Afterwards it is settled, or empty when every plan fails.
  void Measure(cudnnHandle_t handle, cudaStream_t stream, const ConvPointers& pointers,
               void* scratch, int64_t scratch_bytes);
  // REQUIRES: settled.
  void Run(cudnnHandle_t handle, const ConvPointers& pointers, void* scratch) const;

 private:
  void Settle(int64_t index);

  const ConvProblem problem_;
  std::vector<ExecutionPlan> plans_;  // the first alone or, once settled, the chosen one
  int64_t choice_ = -1;
};

}  // namespace encke::cuda
