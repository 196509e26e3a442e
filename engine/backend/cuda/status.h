// Every return code of CUDA, cuDNN and cuBLAS goes through one of these.
//
//   ENCKE_CUDA(cudaMemcpyAsync(...));     throws Error: MEMORY when the device has no more, else
//   DEVICE ENCKE_CUDNN(...);  ENCKE_CUBLAS(...); ENCKE_CUDA_WARN(cudaFree(p));         for
//   destructors: logs, never throws
#pragma once

#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <cudnn.h>

namespace encke::cuda {

// `call` as written in the source.
void CheckCuda(cudaError_t status, const char* call);
void CheckCudnn(cudnnStatus_t status, const char* call);
void CheckCublas(cublasStatus_t status, const char* call);

void WarnCuda(cudaError_t status, const char* call);
void WarnCudnn(cudnnStatus_t status, const char* call);
void WarnCublas(cublasStatus_t status, const char* call);

}  // namespace encke::cuda

#define ENCKE_CUDA(call) ::encke::cuda::CheckCuda((call), #call)
#define ENCKE_CUDNN(call) ::encke::cuda::CheckCudnn((call), #call)
#define ENCKE_CUBLAS(call) ::encke::cuda::CheckCublas((call), #call)

#define ENCKE_CUDA_WARN(call) ::encke::cuda::WarnCuda((call), #call)
#define ENCKE_CUDNN_WARN(call) ::encke::cuda::WarnCudnn((call), #call)
#define ENCKE_CUBLAS_WARN(call) ::encke::cuda::WarnCublas((call), #call)
