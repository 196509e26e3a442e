// Fully connected layers. They compute in fp32 whatever the activations are: at the batch sizes of
// training they wait for the weights, which are fp32, so converting the few activations is cheaper
// than converting the weights. The converted copies lie at the start of the workspace.
#include <algorithm>

#include "engine/backend/cpu/cpu_backend.h"
#include "engine/backend/cpu/matmul_plan.h"
#include "engine/backend/cpu/simd.h"
#include "engine/backend/cpu/sum_rows.h"
#include "engine/core/error.h"

namespace encke::cpu {
namespace {

struct FcSizes {
  FcSizes(const Shape& x, const Shape& y) : n(x.n), c(x.sample()), k(y.sample()) {
    ENCKE_CHECK(x.n == y.n, x.ToString(), " to ", y.ToString());
  }
  MatmulCall Forward(bool bias) const { return {n, c, k, false, true, bias, false}; }
  MatmulCall BackwardData() const { return {n, k, c, false, false, false, false}; }
  MatmulCall BackwardFilter(bool accumulate) const {
    return {k, n, c, true, false, false, accumulate};
  }
  int64_t n, c, k;
};

void CheckWeights(const FcSizes& s, const Tensor& w) {
  ENCKE_CHECK(w.shape().n == s.k && w.shape().sample() == s.c, w.shape().ToString(), " for ", s.k,
              "x", s.c);
}

// Space for fp32 copies of x and y where they are not fp32.
struct Fp32Copies {
  Fp32Copies(const FcSizes& s, DType dtype) {
    if (dtype == DType::F32) return;
    x_at = layout.Add(s.n * s.c * SizeOf(DType::F32));
    y_at = layout.Add(s.n * s.k * SizeOf(DType::F32));
  }
  WorkspaceLayout layout;
  int64_t x_at = 0, y_at = 0;
};

// The tensor's elements in fp32: its own, or converted into `copy`.
const float* Fp32Input(const Tensor& tensor, float* copy) {
  if (tensor.dtype() == DType::F32) return tensor.data<float>();
  Convert(Elements<Bf16Bits>(tensor), copy, tensor.elements());
  return copy;
}

float* Fp32Output(const Tensor& tensor, float* copy) {
  return tensor.dtype() == DType::F32 ? tensor.data<float>() : copy;
}

void StoreOutput(const Tensor& tensor, const float* copy) {
  if (tensor.dtype() != DType::F32) Convert(copy, Elements<Bf16Bits>(tensor), tensor.elements());
}

}  // namespace

MatmulPlan& CpuBackend::PlanMatmul(const MatmulCall& call) {
  std::unique_ptr<MatmulPlan>& plan = matmul_plans_[call.Key()];
  if (plan == nullptr) {
    plan = CallDnnl("fully connected", [&] { return std::make_unique<MatmulPlan>(call, engine_); });
  }
  return *plan;
}

void CpuBackend::RunMatmul(const MatmulCall& call, const MatmulBuffers& buffers, int64_t offset) {
  MatmulPlan& plan = PlanMatmul(call);
  CallDnnl("fully connected", [&] { plan.Run(stream_, buffers, workspace_.At(offset)); });
}

int64_t CpuBackend::FullyConnectedWorkspaceBytes(const Shape& x, const Shape& y, DType dtype,
                                                 Pass pass) {
  const FcSizes s(x, y);
  const int64_t copies = Fp32Copies(s, dtype).layout.total();
  const auto scratch = [&](const MatmulCall& call) { return PlanMatmul(call).scratch_bytes(); };
  if (pass == Pass::FORWARD) {
    return copies + std::max(scratch(s.Forward(false)), scratch(s.Forward(true)));
  }
  return copies + std::max({scratch(s.BackwardData()), scratch(s.BackwardFilter(false)),
                            scratch(s.BackwardFilter(true))});
}

void CpuBackend::FullyConnectedForward(const Tensor& x, const Tensor& w, const Tensor* bias,
                                       const Tensor& y) {
  const FcSizes s(x.shape(), y.shape());
  CheckWeights(s, w);
  ENCKE_CHECK(x.dtype() == y.dtype(), NameOf(x.dtype()));
  const MatmulCall call = s.Forward(bias != nullptr);
  const Fp32Copies copies(s, x.dtype());
  workspace_.Reserve(copies.layout.total() + PlanMatmul(call).scratch_bytes());
  float* out = Fp32Output(y, workspace_.At<float>(copies.y_at));
  RunMatmul(call,
            {Fp32Input(x, workspace_.At<float>(copies.x_at)), w.data<float>(),
             bias == nullptr ? nullptr : bias->data<float>(), out},
            copies.layout.total());
  StoreOutput(y, out);
}

void CpuBackend::FullyConnectedBackwardData(const Tensor& dy, const Tensor& w, const Tensor& dx) {
  const FcSizes s(dx.shape(), dy.shape());
  CheckWeights(s, w);
  ENCKE_CHECK(dx.dtype() == dy.dtype(), NameOf(dx.dtype()));
  const MatmulCall call = s.BackwardData();
  const Fp32Copies copies(s, dx.dtype());
  workspace_.Reserve(copies.layout.total() + PlanMatmul(call).scratch_bytes());
  float* out = Fp32Output(dx, workspace_.At<float>(copies.x_at));
  RunMatmul(call, {Fp32Input(dy, workspace_.At<float>(copies.y_at)), w.data<float>(), nullptr, out},
            copies.layout.total());
  StoreOutput(dx, out);
}

void CpuBackend::FullyConnectedBackwardFilter(const Tensor& x, const Tensor& dy, const Tensor& dw,
                                              const Tensor* dbias, bool accumulate) {
  const FcSizes s(x.shape(), dy.shape());
  CheckWeights(s, dw);
  const MatmulCall call = s.BackwardFilter(accumulate);
  const Fp32Copies copies(s, x.dtype());
  workspace_.Reserve(copies.layout.total() + PlanMatmul(call).scratch_bytes());
  const float* gradient = Fp32Input(dy, workspace_.At<float>(copies.y_at));
  RunMatmul(call,
            {gradient, Fp32Input(x, workspace_.At<float>(copies.x_at)), nullptr, dw.data<float>()},
            copies.layout.total());
  if (dbias != nullptr) SumRows(gradient, s.n, s.k, accumulate, dbias->data<float>());
}

}  // namespace encke::cpu
