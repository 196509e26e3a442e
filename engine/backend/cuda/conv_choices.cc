#include "engine/backend/cuda/conv_choices.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "engine/core/error.h"

namespace encke::cuda {
namespace {

namespace fs = std::filesystem;

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// A line is: context TAB problem TAB choice. Returns whether it is one.
bool ParseLine(const std::string& line, std::string* context, std::string* problem,
               int64_t* choice) {
  std::istringstream in(line);
  std::string number;
  if (!std::getline(in, *context, '\t') || !std::getline(in, *problem, '\t') ||
      !std::getline(in, number) || number.empty()) {
    return false;
  }
  char* end = nullptr;
  *choice = std::strtoll(number.c_str(), &end, 10);
  return *end == '\0' && *choice >= 0;
}

}  // namespace

ConvChoices::ConvChoices(const std::string& path, const std::string& context)
    : path_(path), context_(context) {
  std::ifstream in(path_);
  std::string line, line_context, problem;
  int64_t choice = -1;
  while (std::getline(in, line)) {
    if (ParseLine(line, &line_context, &problem, &choice) && line_context == context_) {
      choices_[problem] = choice;
    }
  }
}

int64_t ConvChoices::Find(const std::string& problem) const {
  const auto found = choices_.find(problem);
  return found == choices_.end() ? -1 : found->second;
}

void ConvChoices::Add(const std::string& problem, int64_t choice) {
  choices_[problem] = choice;
  if (path_.empty()) return;
  std::error_code ignored;
  fs::create_directories(fs::path(path_).parent_path(), ignored);
  std::ofstream out(path_, std::ios::app);
  out << StrCat(context_, '\t', problem, '\t', choice, '\n');
}

std::string CacheFolder() {
  const std::string own = Environment("ENCKE_CACHE"), xdg = Environment("XDG_CACHE_HOME");
  const std::string home = Environment("HOME");
  if (!own.empty()) return own;
  if (!xdg.empty()) return xdg + "/encke";
  return home.empty() ? "" : home + "/.cache/encke";
}

}  // namespace encke::cuda
