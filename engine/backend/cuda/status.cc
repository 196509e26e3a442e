#include "engine/backend/cuda/status.h"

#include <string>

#include "engine/core/error.h"
#include "engine/core/log.h"

namespace encke::cuda {
namespace {

// "cudaMemcpyAsync" of "cudaMemcpyAsync(dst, src, ...)".
std::string FunctionOf(const std::string& call) { return call.substr(0, call.find('(')); }

// cuDNN keeps a sentence about its last failure.
std::string CudnnDetail(cudnnStatus_t status) {
  char detail[512] = "";
  cudnnGetLastErrorString(detail, sizeof(detail));
  return StrCat(cudnnGetErrorString(status), detail[0] != '\0' ? ": " : "", detail);
}

[[noreturn]] void Throw(ErrorKind kind, const char* call, const std::string& what) {
  throw Error(kind, StrCat(FunctionOf(call), " failed: ", what), "cuda",
              kind == ErrorKind::MEMORY ? "take a smaller batch" : "");
}

}  // namespace

void CheckCuda(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // not to be found again by a later call
  Throw(status == cudaErrorMemoryAllocation ? ErrorKind::MEMORY : ErrorKind::DEVICE, call,
        cudaGetErrorString(status));
}

void CheckCudnn(cudnnStatus_t status, const char* call) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  Throw(ErrorKind::DEVICE, call, CudnnDetail(status));
}

void CheckCublas(cublasStatus_t status, const char* call) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  Throw(status == CUBLAS_STATUS_ALLOC_FAILED ? ErrorKind::MEMORY : ErrorKind::DEVICE, call,
        cublasGetStatusString(status));
}

void WarnCuda(cudaError_t status, const char* call) {
  if (status != cudaSuccess) LogWarning(StrCat(call, ": ", cudaGetErrorString(status)));
}

void WarnCudnn(cudnnStatus_t status, const char* call) {
  if (status != CUDNN_STATUS_SUCCESS) LogWarning(StrCat(call, ": ", CudnnDetail(status)));
}

void WarnCublas(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS)
    LogWarning(StrCat(call, ": ", cublasGetStatusString(status)));
}

}  // namespace encke::cuda
