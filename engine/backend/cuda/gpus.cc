#include "engine/backend/cuda/gpus.h"

#include <algorithm>

#include "engine/core/error.h"

namespace encke::cuda {
namespace {

constexpr char kCpuHint[] = "run with --device=cpu";

std::string IndicesOf(const std::vector<Gpu>& gpus) {
  std::string text;
  for (const Gpu& gpu : gpus) text += StrCat(text.empty() ? "cuda:" : ", cuda:", gpu.index);
  return text;
}

}  // namespace

std::string VersionText(int version) { return StrCat(version / 1000, ".", version % 1000 / 10); }

bool IsSupported(const Gpu& gpu) { return gpu.major >= kOldestMajor; }

GpuProblem FindProblem(const GpuSurvey& survey) {
  const std::string needed = VersionText(survey.runtime_version);
  if (survey.driver_version == 0) {
    return {"there is no NVIDIA driver on this machine",
            StrCat("install a driver that supports CUDA ", needed, ", or ", kCpuHint)};
  }
  if (survey.driver_version / 1000 < survey.runtime_version / 1000) {
    return {StrCat("the NVIDIA driver supports CUDA ", VersionText(survey.driver_version),
                   ", this build needs ", needed),
            StrCat("update the driver, or ", kCpuHint)};
  }
  if (!survey.failure.empty()) {
    return {StrCat("the NVIDIA driver does not answer: ", survey.failure),
            StrCat("see what nvidia-smi says, or ", kCpuHint)};
  }
  if (survey.gpus.empty()) {
    return {"the NVIDIA driver sees no GPU",
            StrCat("see what nvidia-smi and CUDA_VISIBLE_DEVICES say, or ", kCpuHint)};
  }
  return {};
}

Gpu CheckGpu(const GpuSurvey& survey, int index) {
  const std::string place = StrCat("cuda:", index);
  const GpuProblem problem = FindProblem(survey);
  if (!problem.message.empty()) {
    throw Error(ErrorKind::DEVICE, problem.message, place, problem.hint);
  }
  const auto found = std::find_if(survey.gpus.begin(), survey.gpus.end(),
                                  [&](const Gpu& gpu) { return gpu.index == index; });
  if (found == survey.gpus.end()) {
    throw Error(ErrorKind::DEVICE, "there is no GPU with this index", place,
                StrCat("there is ", IndicesOf(survey.gpus)));
  }
  if (!IsSupported(*found)) {
    throw Error(ErrorKind::DEVICE,
                StrCat(found->name, " has compute capability ", found->major, ".", found->minor,
                       ", this build needs ", kOldestMajor, ".0 or more"),
                place, StrCat("take an Ampere GPU or a later one, or ", kCpuHint));
  }
  return *found;
}

}  // namespace encke::cuda
