// Asks the CUDA runtime what there is. Its return codes are looked at, not thrown: what they mean
// is for FindProblem to say.
#include <cuda_runtime_api.h>

#include "engine/backend/cuda/gpus.h"

namespace encke::cuda {
namespace {

bool Describe(int index, bool ask_memory, Gpu* gpu) {
  cudaDeviceProp properties;
  if (cudaGetDeviceProperties(&properties, index) != cudaSuccess) return false;
  gpu->index = index;
  gpu->name = properties.name;
  gpu->major = properties.major;
  gpu->minor = properties.minor;
  gpu->multiprocessors = properties.multiProcessorCount;
  if (!ask_memory) return true;
  size_t free = 0, total = 0;
  if (cudaSetDevice(index) != cudaSuccess || cudaMemGetInfo(&free, &total) != cudaSuccess) {
    return false;
  }
  gpu->free_bytes = static_cast<int64_t>(free);
  gpu->total_bytes = static_cast<int64_t>(total);
  return true;
}

}  // namespace

GpuSurvey SurveyGpus(int memory_of) {
  GpuSurvey survey;
  survey.runtime_version = CUDART_VERSION;
  if (cudaDriverGetVersion(&survey.driver_version) != cudaSuccess) survey.driver_version = 0;
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess && status != cudaErrorNoDevice) {
    survey.failure = cudaGetErrorString(status);
    return survey;
  }
  for (int i = 0; i < count; ++i) {
    Gpu gpu;
    if (Describe(i, memory_of == kAllGpus || memory_of == i, &gpu)) survey.gpus.push_back(gpu);
  }
  return survey;
}

}  // namespace encke::cuda
