// Convolution: checks, the choice of the plan, and how much workspace plans take.
#include "engine/backend/cpu/conv_plan.h"
#include "engine/backend/cpu/cpu_backend.h"
#include "engine/core/error.h"

namespace encke::cpu {
namespace {

int64_t OutputSize(int64_t input, int64_t pads, int64_t kernel, int64_t dilation, int64_t stride) {
  return (input + pads - (kernel - 1) * dilation - 1) / stride + 1;
}

void CheckConv(const ConvOptions& o, const Shape& x, const Shape& y) {
  ENCKE_CHECK(x.c % o.groups == 0 && y.c % o.groups == 0, x.c, " and ", y.c, " in ", o.groups);
  const int64_t p = OutputSize(x.h, o.pad_top + o.pad_bottom, o.kernel_h, o.dilation_h, o.stride_h);
  const int64_t q = OutputSize(x.w, o.pad_left + o.pad_right, o.kernel_w, o.dilation_w, o.stride_w);
  ENCKE_CHECK(y.n == x.n && y.h == p && y.w == q, x.ToString(), " to ", y.ToString());
}

void CheckFilter(const ConvOptions& o, const Shape& x, const Shape& y, const Tensor& w) {
  const Shape expected = {y.c, o.kernel_h, o.kernel_w, x.c / o.groups};
  ENCKE_CHECK(w.shape() == expected, w.shape().ToString(), " for ", expected.ToString());
  ENCKE_CHECK(w.dtype() == DType::F32, NameOf(w.dtype()));
}

const float* BiasOf(const Tensor* bias, const Shape& y) {
  if (bias == nullptr) return nullptr;
  ENCKE_CHECK(bias->elements() == y.c, bias->elements(), " for ", y.c);
  return bias->data<float>();
}

// Fills in the call and checks that the tensors fit it.
ConvCall MakeCall(ConvKind kind, const ConvOptions& options, const Tensor& x, const Tensor& w,
                  const Tensor& y) {
  CheckConv(options, x.shape(), y.shape());
  CheckFilter(options, x.shape(), y.shape(), w);
  ENCKE_CHECK(x.dtype() == y.dtype(), NameOf(x.dtype()), " and ", NameOf(y.dtype()));
  ConvCall call;
  call.kind = kind;
  call.options = options;
  call.x = x.shape();
  call.y = y.shape();
  call.dtype = x.dtype();
  return call;
}

}  // namespace

ConvPlan& CpuBackend::PlanConv(const ConvCall& call) {
  std::unique_ptr<ConvPlan>& plan = conv_plans_[call.Key()];
  if (plan == nullptr) plan = NewConvPlan(call, engine_);
  return *plan;
}

void CpuBackend::RunConv(const ConvCall& call, const ConvBuffers& buffers) {
  ConvPlan& plan = CallDnnl("convolution", [&]() -> ConvPlan& { return PlanConv(call); });
  workspace_.Reserve(plan.workspace_bytes());
  CallDnnl("convolution", [&] { plan.Run(stream_, workspace_, buffers); });
}

int64_t CpuBackend::ConvWorkspaceBytes(const ConvOptions& options, const Shape& x, const Shape& y,
                                       DType dtype, Pass pass) {
  CheckConv(options, x, y);
  ConvCall call{ConvKind::FORWARD, options, x, y, dtype, false, false};
  int64_t bytes = 0;
  const auto ask = [&](ConvKind kind, bool bias, bool accumulate) {
    call.kind = kind;
    call.bias = bias;
    call.accumulate = accumulate;
    const auto needed = [&] { return PlanConv(call).workspace_bytes(); };
    bytes = std::max(bytes, CallDnnl("convolution", needed));
  };
  const bool backward = pass == Pass::BACKWARD;
  for (bool bias : {false, true}) {
    ask(backward ? ConvKind::BACKWARD_FILTER : ConvKind::FORWARD, bias, backward);
  }
  if (backward) ask(ConvKind::BACKWARD_DATA, false, false);
  return bytes;
}

void CpuBackend::ConvForward(const ConvOptions& options, const Tensor& x, const Tensor& w,
                             const Tensor* bias, const Tensor& y) {
  ConvCall call = MakeCall(ConvKind::FORWARD, options, x, w, y);
  call.bias = bias != nullptr;
  RunConv(call, {x.raw(), w.raw(), BiasOf(bias, y.shape()), y.raw()});
}

void CpuBackend::ConvBackwardData(const ConvOptions& options, const Tensor& dy, const Tensor& w,
                                  const Tensor& dx) {
  const ConvCall call = MakeCall(ConvKind::BACKWARD_DATA, options, dx, w, dy);
  RunConv(call, {dx.raw(), w.raw(), nullptr, dy.raw()});
}

void CpuBackend::ConvBackwardFilter(const ConvOptions& options, const Tensor& x, const Tensor& dy,
                                    const Tensor& dw, const Tensor* dbias, bool accumulate) {
  ConvCall call = MakeCall(ConvKind::BACKWARD_FILTER, options, x, dw, dy);
  call.bias = dbias != nullptr;
  call.accumulate = accumulate;
  RunConv(call, {x.raw(), dw.raw(), BiasOf(dbias, dy.shape()), dy.raw()});
}

}  // namespace encke::cpu
