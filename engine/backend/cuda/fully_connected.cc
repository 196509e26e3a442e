// Fully connected layers: cuBLAS, with a bias added by a kernel of our own. In BF16 the filter is
// converted on the way in; sums are fp32, and so is the filter's gradient.
#include <climits>

#include "engine/backend/cuda/cuda_backend.h"
#include "engine/backend/cuda/fc_gemm.h"
#include "engine/core/error.h"

namespace encke::cuda {
namespace {

// What NVIDIA recommends for Hopper; without it cuBLAS would allocate the same behind our back.
constexpr int64_t kCublasBytes = 32 << 20;

struct FcSizes {
  FcSizes(const Shape& x, const Shape& y) : n(x.n), c(x.sample()), k(y.sample()) {
    ENCKE_CHECK(x.n == y.n, x.ToString(), " to ", y.ToString());
  }
  // The converted filter comes first in the workspace.
  int64_t FilterBytes(DType dtype) const {
    return dtype == DType::F32 ? 0 : RoundUp(k * c * SizeOf(dtype), kWorkspaceAlignment);
  }
  int64_t WorkspaceBytes(DType dtype) const { return FilterBytes(dtype) + kCublasBytes; }

  int64_t n, c, k;
};

void CheckWeights(const FcSizes& s, const Tensor& w) {
  ENCKE_CHECK(w.shape().n == s.k && w.shape().sample() == s.c, w.shape().ToString());
  ENCKE_CHECK(w.dtype() == DType::F32, NameOf(w.dtype()));
}

cudaDataType_t TypeOf(DType dtype) { return dtype == DType::BF16 ? CUDA_R_16BF : CUDA_R_32F; }

int Int(int64_t value) {
  ENCKE_CHECK(value <= INT_MAX, value);
  return static_cast<int>(value);
}

struct Operand {
  const void* data;
  DType dtype;
};

void RunGemm(cublasHandle_t handle, const Gemm& g, bool tf32, const Operand& a, const Operand& b,
             bool accumulate, const Operand& c) {
  const float one = 1.0f, beta = accumulate ? 1.0f : 0.0f;
  const bool fast = tf32 && a.dtype == DType::F32;
  ENCKE_CUBLAS(cublasGemmEx(
      handle, g.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N, g.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N,
      Int(g.m), Int(g.n), Int(g.k), &one, a.data, TypeOf(a.dtype), Int(g.lda), b.data,
      TypeOf(b.dtype), Int(g.ldb), &beta, const_cast<void*>(c.data), TypeOf(c.dtype), Int(g.ldc),
      fast ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
}

}  // namespace

int64_t CudaBackend::FullyConnectedWorkspaceBytes(const Shape& x, const Shape& y, DType dtype,
                                                  Pass) {
  return FcSizes(x, y).WorkspaceBytes(dtype);
}

// Divides the workspace; the filter in the activations' type, converted where that is another.
const void* CudaBackend::PrepareFullyConnected(int64_t filter_bytes, const Tensor* w, DType dtype) {
  workspace_.Reserve(filter_bytes + kCublasBytes);
  ENCKE_CUBLAS(cublasSetWorkspace(cublas_.get(), workspace_.At(filter_bytes), kCublasBytes));
  if (w == nullptr || dtype == DType::F32) return w == nullptr ? nullptr : w->raw();
  ConvertBuffer(w->raw(), DType::F32, workspace_.At(0), dtype, w->elements());
  return workspace_.At(0);
}

void CudaBackend::FullyConnectedForward(const Tensor& x, const Tensor& w, const Tensor* bias,
                                        const Tensor& y) {
  const FcSizes s(x.shape(), y.shape());
  CheckWeights(s, w);
  ENCKE_CHECK(x.dtype() == y.dtype(), NameOf(x.dtype()));
  const void* filter = PrepareFullyConnected(s.FilterBytes(x.dtype()), &w, x.dtype());
  RunGemm(cublas_.get(), FcForward(s.n, s.c, s.k), options_.tf32, {filter, x.dtype()},
          {x.raw(), x.dtype()}, false, {y.raw(), y.dtype()});
  if (bias != nullptr) AddBias(y.Reshape({s.n, 1, 1, s.k}), *bias);
}

void CudaBackend::FullyConnectedBackwardData(const Tensor& dy, const Tensor& w, const Tensor& dx) {
  const FcSizes s(dx.shape(), dy.shape());
  CheckWeights(s, w);
  ENCKE_CHECK(dx.dtype() == dy.dtype(), NameOf(dx.dtype()));
  const void* filter = PrepareFullyConnected(s.FilterBytes(dx.dtype()), &w, dx.dtype());
  RunGemm(cublas_.get(), FcBackwardData(s.n, s.c, s.k), options_.tf32, {filter, dx.dtype()},
          {dy.raw(), dy.dtype()}, false, {dx.raw(), dx.dtype()});
}

void CudaBackend::FullyConnectedBackwardFilter(const Tensor& x, const Tensor& dy, const Tensor& dw,
                                               const Tensor* dbias, bool accumulate) {
  const FcSizes s(x.shape(), dy.shape());
  CheckWeights(s, dw);
  ENCKE_CHECK(x.dtype() == dy.dtype(), NameOf(x.dtype()));
  PrepareFullyConnected(0, nullptr, x.dtype());
  RunGemm(cublas_.get(), FcBackwardFilter(s.n, s.c, s.k), options_.tf32, {x.raw(), x.dtype()},
          {dy.raw(), dy.dtype()}, accumulate, {dw.raw(), DType::F32});
  if (dbias != nullptr) SumRows(dy.Reshape({s.n, 1, 1, s.k}), *dbias, accumulate);
}

}  // namespace encke::cuda
