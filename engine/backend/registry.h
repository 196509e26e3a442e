// What this build and this machine have to compute on.
#pragma once

#include "engine/backend/cuda/gpus.h"

namespace encke {

// Whether this build can use GPUs.
bool HasCuda();
// The machine's GPUs and the state of its driver. Empty in a build without CUDA.
cuda::GpuSurvey Gpus();

}  // namespace encke
