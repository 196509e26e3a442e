// cuDNN's graph interface, as far as a convolution needs it: descriptors, the engines that cuDNN
// proposes, and execution plans.
//   https://docs.nvidia.com/deeplearning/cudnn/backend/latest/
#pragma once

#include <cudnn.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/backend/cuda/conv_problem.h"

namespace encke::cuda {

// Owns a backend descriptor. Set and Finalize throw Error(DEVICE).
class Descriptor {
 public:
  explicit Descriptor(cudnnBackendDescriptorType_t type);
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, nullptr)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }

  cudnnBackendDescriptor_t get() const { return descriptor_; }
  void Set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
           const void* values);
  void SetDescriptor(cudnnBackendAttributeName_t name, const Descriptor& value);
  void Finalize();
  // For those that may be unsupported.
  bool TryFinalize() { return cudnnBackendFinalize(descriptor_) == CUDNN_STATUS_SUCCESS; }

 private:
  cudnnBackendDescriptor_t descriptor_ = nullptr;
};

// What plans are made for: the GPU of a handle or, to try out what cuDNN would do there, a GPU that
// is only described, as JSON in cuDNN's own words (cuDNN calls this deviceless compilation). Plans
// for the latter cannot run.
class PlanTarget {
 public:
  explicit PlanTarget(cudnnHandle_t handle) : handle_(handle) {}
  static PlanTarget Described(const std::string& json);

  // Tell the descriptor of that kind about the GPU.
  void SetOnGraph(Descriptor& graph) const;
  void SetOnHeuristic(Descriptor& heuristic) const;
  void SetOnPlan(Descriptor& plan) const;

 private:
  cudnnHandle_t handle_;
  std::shared_ptr<const Descriptor> description_;
};

// The operation with its tensors, finalized: everything that needs no GPU yet. It keeps what it
// refers to.
struct ConvOperation {
  explicit ConvOperation(const ConvProblem& problem);

  Descriptor x, w, y, convolution, operation;
};

// What a plan reads and writes: x, w and y as forward names them.
struct ConvPointers {
  void *x, *w, *y;
};

// A way to run a convolution.
class ExecutionPlan {
 public:
  // Nothing when cuDNN cannot make a plan of this configuration after all.
  static std::optional<ExecutionPlan> Make(const PlanTarget& target,
                                           const Descriptor& configuration);

  int64_t workspace_bytes() const { return workspace_bytes_; }
  // The status is the caller's to look at.
  cudnnStatus_t Run(cudnnHandle_t handle, const ConvPointers& pointers, void* workspace) const;

 private:
  ExecutionPlan(Descriptor plan, int64_t workspace_bytes)
      : plan_(std::move(plan)), workspace_bytes_(workspace_bytes) {}

  Descriptor plan_;
  int64_t workspace_bytes_;
};

// At most `most` plans for the operation that need no more than `scratch_limit` bytes each, in the
// order in which cuDNN expects them to be fast, and only those that repeat themselves bit for bit,
// keep fp32 apart from tf32 as the problem asks, and lose no digits by Winograd's or Fourier's
// transforms. May be empty.
std::vector<ExecutionPlan> ProposePlans(const PlanTarget& target, const ConvProblem& problem,
                                        int64_t most, int64_t scratch_limit);

}  // namespace encke::cuda
