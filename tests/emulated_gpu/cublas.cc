// cuBLAS for the emulated GPU: products in plain loops.
#include <cublas_v2.h>

#include <cstring>

#include "engine/core/dtype.h"
#include "tests/emulated_gpu/emulated_gpu.h"

struct cublasContext {
  cudaStream_t stream = nullptr;
};

namespace {

using encke::bfloat16;

float Load(const void* data, cudaDataType_t type, int64_t i) {
  if (type == CUDA_R_32F) return static_cast<const float*>(data)[i];
  return static_cast<float>(static_cast<const bfloat16*>(data)[i]);
}

void Store(float value, cudaDataType_t type, int64_t i, void* data) {
  if (type == CUDA_R_32F) {
    static_cast<float*>(data)[i] = value;
  } else {
    static_cast<bfloat16*>(data)[i] = bfloat16(value);
  }
}

bool Known(cudaDataType_t type) { return type == CUDA_R_32F || type == CUDA_R_16BF; }

}  // namespace

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
  *handle = new cublasContext;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUBLAS_STATUS_SUCCESS;
}

// Whatever lies there is not kept.
cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void* workspace, size_t bytes) {
  encke::emulated_gpu::Enqueue(handle->stream, [=] { std::memset(workspace, 0xcb, bytes); });
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t transpose_a,
                            cublasOperation_t transpose_b, int m, int n, int k, const void* alpha,
                            const void* a, cudaDataType_t a_type, int lda, const void* b,
                            cudaDataType_t b_type, int ldb, const void* beta, void* c,
                            cudaDataType_t c_type, int ldc, cublasComputeType_t, cublasGemmAlgo_t) {
  if (a_type != b_type || !Known(a_type) || !Known(c_type)) return CUBLAS_STATUS_NOT_SUPPORTED;
  const bool ta = transpose_a == CUBLAS_OP_T, tb = transpose_b == CUBLAS_OP_T;
  if (lda < (ta ? k : m) || ldb < (tb ? n : k) || ldc < m) return CUBLAS_STATUS_INVALID_VALUE;
  const float scale = *static_cast<const float*>(alpha), keep = *static_cast<const float*>(beta);
  encke::emulated_gpu::Enqueue(handle->stream, [=] {
    for (int64_t j = 0; j < n; ++j) {
      for (int64_t i = 0; i < m; ++i) {
        double sum = 0;
        for (int64_t l = 0; l < k; ++l) {
          sum += static_cast<double>(Load(a, a_type, ta ? l + i * lda : i + l * lda)) *
                 Load(b, b_type, tb ? j + l * ldb : l + j * ldb);
        }
        const double before = keep == 0 ? 0 : keep * Load(c, c_type, i + j * ldc);
        Store(static_cast<float>(scale * sum + before), c_type, i + j * ldc, c);
      }
    }
  });
  return CUBLAS_STATUS_SUCCESS;
}

const char* cublasGetStatusString(cublasStatus_t) { return "a status of the emulated GPU"; }

}  // extern "C"
