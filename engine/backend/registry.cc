// The one place that knows which backends this build has.
#include "engine/backend/registry.h"

#include "engine/backend/backend.h"
#include "engine/backend/cpu/cpu_backend.h"
#include "engine/core/error.h"

#ifdef ENCKE_WITH_CUDA
#include "engine/backend/cuda/cuda_backend.h"
#endif

namespace encke {

#ifdef ENCKE_WITH_CUDA

bool HasCuda() { return true; }

cuda::GpuSurvey Gpus() { return cuda::SurveyGpus(); }

std::unique_ptr<Backend> NewBackend(const Device& device, const BackendOptions& options) {
  return device.is_cpu() ? cpu::NewCpuBackend() : cuda::NewCudaBackend(device.index, options);
}

#else

bool HasCuda() { return false; }

cuda::GpuSurvey Gpus() { return {}; }

std::unique_ptr<Backend> NewBackend(const Device& device, const BackendOptions&) {
  if (device.is_cpu()) return cpu::NewCpuBackend();
  throw Error(ErrorKind::DEVICE, "this build has no CUDA", device.ToString(),
              "build with bazel build --config=cuda, or take the package whose name ends in -cuda; "
              "or run with --device=cpu");
}

#endif

}  // namespace encke
