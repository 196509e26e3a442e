// One convolution of oneDNN as this backend calls it, made once and kept.
//
//   forward, backward data:  w [K,R,S,C] fp32 --reorder--> workspace (blocked, fp32 or bf16) -->
//   conv backward filter:         conv --> workspace (blocked fp32) --reorder (and add)--> dw
//
// A reorder is left out where oneDNN takes the plain filter as it is.
#pragma once

#include <cstdint>
#include <oneapi/dnnl/dnnl.hpp>

#include "engine/backend/backend.h"
#include "engine/backend/cpu/dnnl_util.h"

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
  ConvPlan(const ConvCall& call, const dnnl::engine& engine);

  int64_t workspace_bytes() const { return workspace_bytes_; }
  // oneDNN's name of the kernel chosen, "brgconv:avx512_core".
  std::string implementation() const { return desc_.impl_info_str(); }

  // Computes. REQUIRES: the workspace holds workspace_bytes().
  void Run(dnnl::stream& stream, const Workspace& workspace, const ConvBuffers& buffers);

 private:
  void Compile();
  void Reorder(dnnl::stream& stream, const Workspace& workspace, const void* from, const void* to);

  ConvKind kind_;
  bool accumulate_;
  int64_t bias_elements_;  // 0: no bias
  dnnl::engine engine_;
  dnnl::memory::desc x_, y_, filter_, bias_;  // as the primitive takes them
  dnnl::memory::desc plain_filter_;           // [K,R,S,C/groups] fp32
  dnnl::primitive_desc desc_;
  dnnl::reorder::primitive_desc reorder_desc_;
  bool reorders_ = false;
  dnnl::primitive primitive_;  // compiled at the first Run()
  dnnl::reorder reorder_;
  int64_t scratch_at_ = 0, filter_at_ = 0, bias_at_ = 0;  // in the workspace
  int64_t workspace_bytes_ = 0;
};

}  // namespace encke::cpu
