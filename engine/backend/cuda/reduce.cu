// Reductions to one number, in double and in a fixed order. The number arrives in page-locked
// memory.
#include <cmath>

#include "engine/backend/cuda/cuda_backend.h"
#include "engine/backend/cuda/kernels.cuh"

namespace encke::cuda {
namespace {

// The sum over the block, in thread 0.
__device__ double BlockSum(double value) {
  __shared__ double warps[kThreads / 32];
  value = WarpSum(value);
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = value;
  __syncthreads();
  if (threadIdx.x >= 32) return 0.0;
  return WarpSum(threadIdx.x < kThreads / 32 ? warps[threadIdx.x] : 0.0);
}

struct Square {
  __device__ double operator()(double x) const { return x * x; }
};
struct Magnitude {
  __device__ double operator()(double x) const { return fabs(x); }
};

template <typename F, typename T>
__global__ void __launch_bounds__(kThreads) SumKernel(int64_t n, F f, const T* x, double* partial) {
  double sum = 0.0;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < n; i += step) {
    sum += f(static_cast<double>(Widen(x[i])));
  }
  sum = BlockSum(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(kThreads)
    FinishSumKernel(int64_t parts, const double* partial, double* result) {
  double sum = 0.0;
  for (int64_t i = threadIdx.x; i < parts; i += kThreads) sum += partial[i];
  sum = BlockSum(sum);
  if (threadIdx.x == 0) *result = sum;
}

// Leaves the sum behind the partial ones.
template <typename F>
void LaunchSum(cudaStream_t stream, const Tensor& x, const F& f, double* partial) {
  const int64_t blocks =
      std::clamp<int64_t>((x.elements() + 4 * kThreads - 1) / (4 * kThreads), 1, kMaxSumBlocks);
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    SumKernel<<<static_cast<unsigned>(blocks), kThreads, 0, stream>>>(
        x.elements(), f, static_cast<const T*>(x.data<T>()), partial);
  });
  ENCKE_CUDA(cudaGetLastError());
  FinishSumKernel<<<1, kThreads, 0, stream>>>(blocks, partial, partial + kMaxSumBlocks);
  ENCKE_CUDA(cudaGetLastError());
}

// Sets *flag where some element is infinite or NaN. All writers write the same.
template <typename T>
__global__ void __launch_bounds__(kThreads) FindNotFiniteKernel(int64_t n, const T* x, int* flag) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  bool bad = false;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < n; i += step) {
    bad |= !isfinite(Widen(x[i]));
  }
  if (bad) *flag = 1;
}

}  // namespace

std::unique_ptr<HostCopy> CudaBackend::StartSumOfSquares(const Tensor& x) {
  double* partial = PartialSumsFor(1);
  LaunchSum(stream_.get(), x, Square(), partial);
  return host_copies_.StartBytes(partial + kMaxSumBlocks, sizeof(double));
}

std::unique_ptr<HostCopy> CudaBackend::StartSumOfMagnitudes(const Tensor& x) {
  double* partial = PartialSumsFor(1);
  LaunchSum(stream_.get(), x, Magnitude(), partial);
  return host_copies_.StartBytes(partial + kMaxSumBlocks, sizeof(double));
}

double CudaBackend::SumOfSquares(const Tensor& x) {
  return *static_cast<const double*>(StartSumOfSquares(x)->Wait());
}

double CudaBackend::SumOfMagnitudes(const Tensor& x) {
  return *static_cast<const double*>(StartSumOfMagnitudes(x)->Wait());
}

bool CudaBackend::AllFinite(const std::vector<Tensor>& tensors) {
  auto* flag = reinterpret_cast<int*>(PartialSumsFor(1));
  ENCKE_CUDA(cudaMemsetAsync(flag, 0, sizeof(int), stream_.get()));
  for (const Tensor& x : tensors) {
    const int64_t blocks = std::clamp<int64_t>(x.elements() / (4 * kThreads), 1, kMaxSumBlocks);
    WithFloatType(x.dtype(), [&](auto type) {
      using T = decltype(type);
      FindNotFiniteKernel<<<static_cast<unsigned>(blocks), kThreads, 0, stream_.get()>>>(
          x.elements(), static_cast<const T*>(x.data<T>()), flag);
    });
    ENCKE_CUDA(cudaGetLastError());
  }
  auto* result = static_cast<int*>(result_->data());
  ENCKE_CUDA(cudaMemcpyAsync(result, flag, sizeof(int), cudaMemcpyDeviceToHost, stream_.get()));
  stream_.Synchronize();
  return *result == 0;
}

}  // namespace encke::cuda
