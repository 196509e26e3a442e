// One convolution of oneDNN as this backend calls it, made once and kept.
//
//   forward, backward data:  w [K,R,S,C] fp32 --reorder--> workspace (blocked, fp32 or bf16) -->
//   conv backward filter:         conv --> workspace (blocked fp32) --reorder (and add)--> dw
//
// A reorder is left out where oneDNN takes the plain filter as it is.
#pragma once

#include <cstdint>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>

#include "engine/backend/cpu/conv_plan.h"

namespace encke::cpu {

class DirectConv : public ConvPlan {
 public:
  DirectConv(const ConvCall& call, const dnnl::engine& engine);

  int64_t workspace_bytes() const override { return workspace_bytes_; }
  std::string implementation() const override { return desc_.impl_info_str(); }
  void Run(dnnl::stream& stream, const Workspace& workspace, const ConvBuffers& buffers) override;

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
