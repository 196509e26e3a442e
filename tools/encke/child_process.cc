#include "tools/encke/child_process.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "engine/core/error.h"
#include "tools/encke/signals.h"

namespace encke::cli {
namespace {

[[noreturn]] void ThrowSystem(const std::string& action) {
  throw Error(ErrorKind::DEVICE, action + ": " + std::strerror(errno));
}

std::atomic<pid_t> running_child{0};
std::atomic<bool> stop_requested{false};
static_assert(std::atomic<pid_t>::is_always_lock_free && std::atomic<bool>::is_always_lock_free,
              "must be safe in a signal handler");

// A terminal's Ctrl-C reaches the child by itself; what is sent to this process alone does not.
void HandOn(int number, siginfo_t* info, void*) {
  stop_requested = true;
  const pid_t child = running_child;
  const bool sent_by_process = info->si_code <= 0;
  if (sent_by_process && child > 0) kill(child, number);
}

// Requests to stop are the child's business while this lives; they wait until Begin().
class SignalsHandedOn {
 public:
  SignalsHandedOn() {
    sigset_t requests;
    sigemptyset(&requests);
    for (const int number : kStopSignals) sigaddset(&requests, number);
    sigprocmask(SIG_BLOCK, &requests, &mask_before_);
    struct sigaction action {};
    action.sa_sigaction = HandOn;
    action.sa_flags = SA_SIGINFO;
    sigemptyset(&action.sa_mask);
    before_ = AnswerStopSignals(action);
    stop_requested = false;
  }
  ~SignalsHandedOn() {
    End();
    Restore();
  }
  SignalsHandedOn(const SignalsHandedOn&) = delete;
  SignalsHandedOn& operator=(const SignalsHandedOn&) = delete;

  void Begin(pid_t child) {
    running_child = child;
    sigprocmask(SIG_SETMASK, &mask_before_, nullptr);
  }
  // Before the child's number may become another process's.
  void End() { running_child = 0; }
  // As they were; in the child before it becomes another program, too.
  void Restore() {
    for (size_t i = 0; i < kStopSignals.size(); ++i) {
      sigaction(kStopSignals[i], &before_[i], nullptr);
    }
    sigprocmask(SIG_SETMASK, &mask_before_, nullptr);
  }

 private:
  StopActions before_{};
  sigset_t mask_before_{};
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

// Ended, but still there.
void WaitForEnd(pid_t child) {
  siginfo_t info{};
  while (waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT) < 0 && errno == EINTR) {
  }
}

int StatusOf(pid_t child) {
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
  SignalsHandedOn signals;
  const pid_t child = fork();
  if (child == 0) {
    signals.Restore();
    close(ends[0]);
    BecomeChild(ends[1], pointers.data());
  }
  close(ends[1]);
  if (child < 0) {
    close(ends[0]);
    ThrowSystem("cannot start a process");
  }
  signals.Begin(child);
  ChildResult result;
  result.result = ReadAll(ends[0]);
  close(ends[0]);
  WaitForEnd(child);
  signals.End();
  const int status = StatusOf(child);
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  result.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  result.stop_requested = stop_requested;
  return result;
}

}  // namespace encke::cli
