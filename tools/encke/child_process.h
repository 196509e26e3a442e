// Runs this program again as a child, so that what it measures of its process is its own.
#pragma once

#include <string>
#include <vector>

namespace encke::cli {

// The descriptor on which a child hands over its result.
inline constexpr int kResultDescriptor = 3;

struct ChildResult {
  std::string result;  // all that the child wrote to kResultDescriptor
  int exit_code = 0;   // -1 when a signal ended it
  int signal = 0;
  bool stop_requested = false;  // this process was asked to stop meanwhile
};

// Runs `encke ARGUMENTS...` and waits for it. The child shares the terminal; it is asked to stop
// (SIGTERM) when this process dies, and is handed on SIGINT, SIGTERM and SIGHUP. Error(DEVICE)
// when the system has no process left for it.
ChildResult RunSelf(const std::vector<std::string>& arguments);

}  // namespace encke::cli
