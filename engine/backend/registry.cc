// The one place that knows which backends this build has.
#include "engine/backend/backend.h"
#include "engine/backend/cpu/cpu_backend.h"
#include "engine/core/error.h"

namespace encke {

std::unique_ptr<Backend> NewBackend(const Device& device) {
  if (device.is_cpu()) return cpu::NewCpuBackend();
  throw Error(ErrorKind::DEVICE, "this build has no CUDA", device.ToString(),
              "build with --config=cuda, or run with --device=cpu");
}

}  // namespace encke
