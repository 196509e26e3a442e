#include "tools/encke/newest_run.h"

#include <filesystem>

#include "engine/core/error.h"
#include "engine/train/run_directory.h"

namespace encke::cli {

std::string NewestRun(const std::string& output, const std::string& name, const std::string& file) {
  namespace fs = std::filesystem;
  std::string newest;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(output, ignored)) {
    const std::string run = entry.path().filename().string();
    if (!fs::exists(entry.path() / "config.textproto", ignored)) continue;
    if (!fs::exists(entry.path() / file, ignored)) continue;
    if (!name.empty() && !IsRunOf(run, name)) continue;
    if (newest.empty() || run > fs::path(newest).filename().string()) {
      newest = entry.path().string();
    }
  }
  if (newest.empty()) {
    throw Error(
        ErrorKind::USAGE,
        StrCat("there is no run", name.empty() ? "" : " named " + name, " with a ", file, " in it"),
        output, "name the run directory");
  }
  return newest;
}

}  // namespace encke::cli
