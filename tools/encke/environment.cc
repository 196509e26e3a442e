#include "tools/encke/environment.h"

#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "engine/core/parallel.h"
#include "tools/encke/cpu_info.h"
#include "tools/encke/version.h"

namespace encke::cli {
namespace {

std::string Slurp(const char* path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

std::string LocalTime() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  localtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &parts);
  return text;
}

std::string Quoted(const std::string& word) {
  constexpr char kPlain[] =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=:,+@%";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) return word;
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

}  // namespace

std::string ShellLine(const std::string& zero_separated_words) {
  std::istringstream words(zero_separated_words);
  std::string line;
  for (std::string word; std::getline(words, word, '\0');) {
    line += (line.empty() ? "" : " ") + Quoted(word);
  }
  return line;
}

std::string EnvironmentJson(int threads) {
  std::ifstream cpu_file("/proc/cpuinfo"), memory_file("/proc/meminfo");
  const CpuInfo cpu = ReadCpuInfo(cpu_file);
  const int64_t memory = ReadMemoryField(memory_file, "MemTotal");
  SetThreads(0);
  const int cores = Threads();
  SetThreads(threads);
  nlohmann::ordered_json environment = {{"started", LocalTime()}, {"version", kVersion}};
  const std::string command = ShellLine(Slurp("/proc/self/cmdline"));
  if (!command.empty()) environment["command"] = command;
  if (!cpu.model.empty()) environment["cpu"] = cpu.model;
  environment["instructions"] = InstructionSets(cpu);
  environment["cores"] = cores;
  environment["threads"] = Threads();
  if (memory >= 0) environment["memory_bytes"] = memory;
  return environment.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace encke::cli
