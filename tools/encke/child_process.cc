#include "tools/encke/child_process.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "engine/core/error.h"

namespace encke::cli {
namespace {

[[noreturn]] void ThrowSystem(const std::string& action) {
  throw Error(ErrorKind::DEVICE, action + ": " + std::strerror(errno));
}

// Ctrl-C is the child's business while this lives.
class InterruptIgnored {
 public:
  InterruptIgnored() {
    struct sigaction ignore {};
    ignore.sa_handler = SIG_IGN;
    sigaction(SIGINT, &ignore, &before_);
  }
  ~InterruptIgnored() { sigaction(SIGINT, &before_, nullptr); }
  InterruptIgnored(const InterruptIgnored&) = delete;
  InterruptIgnored& operator=(const InterruptIgnored&) = delete;

 private:
  struct sigaction before_ {};
};

// Between fork and exec: only calls that are safe there.
[[noreturn]] void BecomeChild(int result, char* const* arguments) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (dup2(result, kResultDescriptor) == kResultDescriptor) {
    if (result != kResultDescriptor) close(result);
    execv("/proc/self/exe", arguments);
  }
  _exit(127);
}

std::string ReadAll(int descriptor) {
  std::string text;
  std::array<char, 4096> block{};
  for (;;) {
    const ssize_t count = read(descriptor, block.data(), block.size());
    if (count > 0) {
      text.append(block.data(), static_cast<size_t>(count));
    } else if (count == 0 || errno != EINTR) {
      return text;
    }
  }
}

int WaitFor(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

}  // namespace

ChildResult RunSelf(const std::vector<std::string>& arguments) {
  std::vector<std::string> texts = {"encke"};
  texts.insert(texts.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);

  std::array<int, 2> ends{};
  if (pipe(ends.data()) != 0) ThrowSystem("cannot make a pipe");
  const InterruptIgnored interrupt_ignored;
  const pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    BecomeChild(ends[1], pointers.data());
  }
  close(ends[1]);
  if (child < 0) {
    close(ends[0]);
    ThrowSystem("cannot start a process");
  }
  ChildResult result;
  result.result = ReadAll(ends[0]);
  close(ends[0]);
  const int status = WaitFor(child);
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  result.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  return result;
}

}  // namespace encke::cli
