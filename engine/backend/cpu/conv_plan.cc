#include "engine/backend/cpu/conv_plan.h"

#include "engine/backend/cpu/conv_direct.h"
#include "engine/backend/cpu/conv_flipped.h"
#include "engine/backend/cpu/conv_gemm.h"
#include "engine/backend/cpu/conv_winograd.h"
#include "engine/backend/cpu/conv_winograd_filter.h"
#include "engine/core/parallel.h"

namespace encke::cpu {

PrimitiveKey ConvCall::Key() const {
  const ConvOptions& o = options;
  PrimitiveKey key = {static_cast<int64_t>(kind),
                      static_cast<int64_t>(dtype),
                      bias,
                      accumulate,
                      Threads(),
                      o.kernel_h,
                      o.kernel_w,
                      o.stride_h,
                      o.stride_w,
                      o.dilation_h,
                      o.dilation_w,
                      o.pad_top,
                      o.pad_bottom,
                      o.pad_left,
                      o.pad_right,
                      o.groups};
  AppendToKey(x, &key);
  AppendToKey(y, &key);
  return key;
}

std::unique_ptr<ConvPlan> NewConvPlan(const ConvCall& call, const dnnl::engine& engine) {
  if (WinogradConv::Wins(call))
    return std::make_unique<WinogradConv>(call, *winograd::BestKernels());
  if (WinogradFilterConv::Wins(call))
    return std::make_unique<WinogradFilterConv>(call, *winograd::BestKernels());
  if (GemmConv::Wins(call)) return std::make_unique<GemmConv>(call, engine);
  if (FlippedConv::Wins(call)) return std::make_unique<FlippedConv>(call, engine);
  return std::make_unique<DirectConv>(call, engine);
}

}  // namespace encke::cpu
