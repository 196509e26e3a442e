// `encke devices`: what there is to compute on.
#include <cstdio>
#include <fstream>

#include "engine/backend/backend.h"
#include "engine/backend/registry.h"
#include "engine/core/parallel.h"
#include "engine/core/units.h"
#include "tools/encke/command.h"
#include "tools/encke/cpu_info.h"

namespace encke::cli {
namespace {

std::string OrUnknown(int64_t bytes) { return bytes < 0 ? "unknown" : FormatBytes(bytes); }

int64_t MemoryField(const std::string& field) {
  std::ifstream in("/proc/meminfo");
  return ReadMemoryField(in, field);
}

void ShowGpu(const cuda::Gpu& gpu) {
  std::printf("cuda:%d\n", gpu.index);
  std::printf("  model         %s\n", gpu.name.c_str());
  std::printf("  capability    %d.%d%s\n", gpu.major, gpu.minor,
              cuda::IsSupported(gpu) ? "" : ", too old for this build");
  std::printf("  processors    %d\n", gpu.multiprocessors);
  std::printf("  memory        %s, %s available\n", FormatBytes(gpu.total_bytes).c_str(),
              FormatBytes(gpu.free_bytes).c_str());
}

void ShowGpus() {
  if (!HasCuda()) {
    std::printf("cuda\n  this build has no CUDA; bazel build --config=cuda makes one that has\n");
    return;
  }
  const cuda::GpuSurvey survey = Gpus();
  for (const cuda::Gpu& gpu : survey.gpus) ShowGpu(gpu);
  const cuda::GpuProblem problem = cuda::FindProblem(survey);
  if (problem.message.empty()) return;
  std::printf("cuda\n  %s\n  hint: %s\n", problem.message.c_str(), problem.hint.c_str());
}

int ShowDevices() {
  std::ifstream in("/proc/cpuinfo");
  const CpuInfo cpu = ReadCpuInfo(in);
  SetThreads(0);
  const std::unique_ptr<Backend> backend = NewBackend(Device());
  std::printf("cpu\n");
  std::printf("  model         %s\n", cpu.model.empty() ? "unknown" : cpu.model.c_str());
  std::printf("  cores         %d usable by this process\n", Threads());
  std::printf("  instructions  %s\n", InstructionSets(cpu).c_str());
  std::printf("  memory        %s, %s available\n", OrUnknown(MemoryField("MemTotal")).c_str(),
              OrUnknown(MemoryField("MemAvailable")).c_str());
  std::printf("  backend       %s\n", backend->name().c_str());
  std::printf("  precision     fp32%s\n", backend->Supports(DType::BF16) ? ", bf16" : "");
  ShowGpus();
  return 0;
}

}  // namespace

Command DevicesCommand() {
  Command command;
  command.name = "devices";
  command.summary = "List what there is to compute on";
  command.examples = "  encke devices";
  command.set_up = [](CLI::App&) { return [] { return ShowDevices(); }; };
  return command;
}

}  // namespace encke::cli
