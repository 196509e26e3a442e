#include "tools/encke/newest_run.h"

#include <filesystem>

#include "engine/core/error.h"

namespace encke::cli {
namespace {

bool EndsWith(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

}  // namespace

std::string NewestRun(const std::string& output, const std::string& name, const std::string& file) {
  namespace fs = std::filesystem;
  std::string newest;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(output, ignored)) {
    const std::string run = entry.path().filename().string();
    if (!fs::exists(entry.path() / "config.textproto", ignored)) continue;
    if (!fs::exists(entry.path() / file, ignored)) continue;
    if (!name.empty() && !EndsWith(run, "-" + name)) continue;
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
