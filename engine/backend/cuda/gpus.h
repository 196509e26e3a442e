// The GPUs of this machine, and what keeps one from being used. Nothing here needs CUDA:
// gpus_query.cc asks the driver, and tests make surveys up.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace encke::cuda {

struct Gpu {
  int index = 0;
  std::string name;
  int major = 0, minor = 0;  // compute capability
  int multiprocessors = 0;
  int64_t total_bytes = 0, free_bytes = 0;
};

// What the CUDA runtime says.
struct GpuSurvey {
  int driver_version =
      0;  // highest CUDA version that the driver supports, 12040 for 12.4; 0: no driver
  int runtime_version = 0;  // that this build was made with
  std::string failure;      // of the query itself, "" = it worked
  std::vector<Gpu> gpus;
};

inline constexpr int kOldestMajor = 8;  // sm_80, the first with bf16 and tf32

// "12.4" of 12040.
std::string VersionText(int version);
bool IsSupported(const Gpu& gpu);

// Why no GPU at all can be used, "" when one can; and what to do about it.
struct GpuProblem {
  std::string message, hint;
};
GpuProblem FindProblem(const GpuSurvey& survey);

// GPU `index`. Error(DEVICE) when there is no driver, it is too old, there is no GPU or none with
// this index, or the GPU is too old for this build.
Gpu CheckGpu(const GpuSurvey& survey, int index);

inline constexpr int kAllGpus = -1;

// Asks the driver; for its free memory only GPU `memory_of`, since that takes some of it. Never
// throws; queries of single GPUs that fail leave them out. Only in builds with CUDA.
GpuSurvey SurveyGpus(int memory_of = kAllGpus);

}  // namespace encke::cuda
