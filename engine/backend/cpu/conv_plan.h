// How this backend computes one convolution, planned once and kept.
#pragma once

#include <cstdint>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>

#include "engine/backend/backend.h"
#include "engine/backend/cpu/dnnl_util.h"
#include "engine/backend/workspace.h"

namespace encke::cpu {

enum class ConvKind { FORWARD, BACKWARD_DATA, BACKWARD_FILTER };

// Everything that a plan depends on but for the thread count.
struct ConvCall {
  ConvKind kind = ConvKind::FORWARD;
  ConvOptions options;
  Shape x, y;
  DType dtype = DType::F32;
  bool bias = false;
  bool accumulate = false;

  PrimitiveKey Key() const;
};

// The caller's plain tensors, or their gradients. `bias` is null where the call says so.
struct ConvBuffers {
  const void* x;
  const void* filter;
  const void* bias;
  const void* y;
};

class ConvPlan {
 public:
  virtual ~ConvPlan() = default;

  virtual int64_t workspace_bytes() const = 0;
  // The kernel chosen: oneDNN's name for it, "brgconv:avx512_core", or "winograd:avx512".
  virtual std::string implementation() const = 0;

  // Computes. REQUIRES: the workspace holds workspace_bytes().
  virtual void Run(dnnl::stream& stream, const Workspace& workspace,
                   const ConvBuffers& buffers) = 0;
};

// The fastest plan for the call: a fixed rule of its shapes, measured once (see GemmConv,
// FlippedConv and WinogradConv), so that the same call computes the same bytes in every run.
std::unique_ptr<ConvPlan> NewConvPlan(const ConvCall& call, const dnnl::engine& engine);

}  // namespace encke::cpu
