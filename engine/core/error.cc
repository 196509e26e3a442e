#include "engine/core/error.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace encke {
namespace {

std::string Format(const std::string& message, const std::string& place, const std::string& hint) {
  std::string text = place.empty() ? message : place + ": " + message;
  if (!hint.empty()) text += "\n  hint: " + hint;
  return text;
}

}  // namespace

int ExitCode(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::USAGE:
    case ErrorKind::CONFIG:
      return 2;
    case ErrorKind::DATA:
    case ErrorKind::CORRUPTION:
      return 3;
    case ErrorKind::MEMORY:
      return 4;
    case ErrorKind::DEVICE:
      return 5;
    case ErrorKind::NUMERIC:
      return 1;
  }
  return 1;
}

Error::Error(ErrorKind kind, const std::string& message, const std::string& place,
             const std::string& hint)
    : std::runtime_error(Format(message, place, hint)),
      kind_(kind),
      message_(message),
      place_(place),
      hint_(hint) {}

std::string Joined(const std::vector<std::string>& texts, size_t most) {
  std::string joined;
  for (size_t i = 0; i < std::min(texts.size(), most); ++i)
    joined += (i > 0 ? ", " : "") + texts[i];
  return joined;
}

namespace internal {

void CheckFailed(const char* file, int line, const char* condition, const std::string& values) {
  std::fprintf(stderr, "%s:%d: check failed: %s %s\n", file, line, condition, values.c_str());
  std::abort();
}

}  // namespace internal
}  // namespace encke
