// What this machine's processor and memory are, as the kernel tells.
#pragma once

#include <cstdint>
#include <istream>
#include <string>
#include <vector>

namespace encke::cli {

struct CpuInfo {
  std::string model;
  std::vector<std::string> flags;  // the kernel's names: "avx2", "amx_bf16", ...
  bool Has(const std::string& flag) const;
};

// Reads the format of /proc/cpuinfo; fields that are not there stay empty.
CpuInfo ReadCpuInfo(std::istream& in);

// A field of the format of /proc/meminfo in bytes ("MemTotal"); -1 when it is not there.
int64_t ReadMemoryField(std::istream& in, const std::string& field);

// The extensions that matter for training, fastest last: "AVX2, AVX-512, AVX-512 BF16, AMX BF16".
std::string InstructionSets(const CpuInfo& cpu);

}  // namespace encke::cli
