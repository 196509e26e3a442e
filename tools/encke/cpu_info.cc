#include "tools/encke/cpu_info.h"

#include <algorithm>
#include <array>
#include <sstream>

namespace encke::cli {
namespace {

// "key   : value" -> key and value; false for other lines.
bool SplitLine(const std::string& line, std::string* key, std::string* value) {
  const size_t colon = line.find(':');
  if (colon == std::string::npos) return false;
  *key = line.substr(0, line.find_last_not_of(" \t", colon - 1) + 1);
  const size_t begin = line.find_first_not_of(" \t", colon + 1);
  *value = begin == std::string::npos ? "" : line.substr(begin);
  return true;
}

}  // namespace

bool CpuInfo::Has(const std::string& flag) const {
  return std::find(flags.begin(), flags.end(), flag) != flags.end();
}

CpuInfo ReadCpuInfo(std::istream& in) {
  CpuInfo cpu;
  std::string key, value;
  for (std::string line; std::getline(in, line) && (cpu.model.empty() || cpu.flags.empty());) {
    if (!SplitLine(line, &key, &value)) continue;
    if (key == "model name") cpu.model = value;
    if (key == "flags") {
      std::istringstream words(value);
      for (std::string word; words >> word;) cpu.flags.push_back(word);
    }
  }
  return cpu;
}

int64_t ReadMemoryField(std::istream& in, const std::string& field) {
  std::string key, value;
  for (std::string line; std::getline(in, line);) {
    if (SplitLine(line, &key, &value) && key == field) return std::atoll(value.c_str()) * 1024;
  }
  return -1;
}

std::string InstructionSets(const CpuInfo& cpu) {
  struct Extension {
    const char* flag;
    const char* name;
  };
  static constexpr std::array<Extension, 7> kExtensions = {{{"avx2", "AVX2"},
                                                            {"avx512f", "AVX-512"},
                                                            {"avx512_vnni", "VNNI"},
                                                            {"avx512_bf16", "AVX-512 BF16"},
                                                            {"amx_tile", "AMX"},
                                                            {"amx_bf16", "AMX BF16"},
                                                            {"amx_int8", "AMX INT8"}}};
  std::string names;
  for (const Extension& extension : kExtensions) {
    if (cpu.Has(extension.flag)) names += (names.empty() ? "" : ", ") + std::string(extension.name);
  }
  return names.empty() ? "none that Encke uses" : names;
}

}  // namespace encke::cli
