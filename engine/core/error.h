// Errors that a user can cause, and checks for those that only we can.
//
// Whatever a user can cause (command line, config, file, data, memory, device) is thrown as one
// type, `Error`; only `main` catches it, prints `what()` and exits with `ExitCode(kind)`. What only
// a programmer can cause is ENCKE_CHECK, which prints the condition with its values and aborts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace encke {

enum class ErrorKind {
  USAGE,       // command line
  CONFIG,      // network or recipe text, also a checkpoint that does not fit the config
  DATA,        // data sets, images, checkpoint files that are broken
  MEMORY,      // does not fit in the memory allowed
  DEVICE,      // no such device, a library of the device failed
  NUMERIC,     // loss or gradients are not finite
  CORRUPTION,  // a compressed stream that no encoder wrote
};

// The exit code of the program: 2 usage and config, 3 data, 4 memory, 5 device, 1 everything else.
int ExitCode(ErrorKind kind);

// `place` says where ("models/vgg.textproto:12:7", "train.tar, record 17"), `hint` says the way
// out; both may be empty. what() is "place: message\n  hint: ...".
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message, const std::string& place = "",
        const std::string& hint = "");

  ErrorKind kind() const { return kind_; }
  const std::string& message() const { return message_; }
  const std::string& place() const { return place_; }
  const std::string& hint() const { return hint_; }

 private:
  ErrorKind kind_;
  std::string message_;
  std::string place_;
  std::string hint_;
};

// Joins its arguments as << prints them.
template <typename... Args>
std::string StrCat(const Args&... args) {
  std::ostringstream out;
  (out << ... << args);
  return out.str();
}

// "a, b, c", the first `most` of them.
std::string Joined(const std::vector<std::string>& texts, size_t most = SIZE_MAX);

namespace internal {
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition,
                              const std::string& values);
}  // namespace internal

}  // namespace encke

// Aborts unless `condition`; the further arguments are printed, as StrCat joins them.
#define ENCKE_CHECK(condition, ...)                                                   \
  do {                                                                                \
    if (!(condition)) {                                                               \
      ::encke::internal::CheckFailed(__FILE__, __LINE__, #condition,                  \
                                     ::encke::StrCat("" __VA_OPT__(, ) __VA_ARGS__)); \
    }                                                                                 \
  } while (false)
