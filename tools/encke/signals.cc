#include "tools/encke/signals.h"

#include <time.h>

#include <atomic>
#include <csignal>
#include <cstdint>

#include "engine/train/trainer.h"

namespace encke::cli {
namespace {

// One request may come by several ways: of the process group, and handed on by the parent.
constexpr int64_t kSameRequestMs = 500;

std::atomic<int64_t> requested_ms{0};
static_assert(std::atomic<int64_t>::is_always_lock_free, "must be safe in a signal handler");

int64_t NowMs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{1000} * now.tv_sec + now.tv_nsec / 1000000;
}

void RequestStop(int number) {
  const int64_t now = NowMs();
  int64_t first = 0;
  if (requested_ms.compare_exchange_strong(first, now)) return Trainer::RequestStop();
  if (now - first < kSameRequestMs) return;
  std::signal(number, SIG_DFL);
  std::raise(number);
}

}  // namespace

StopActions AnswerStopSignals(const struct sigaction& action) {
  StopActions before{};
  for (size_t i = 0; i < kStopSignals.size(); ++i) {
    sigaction(kStopSignals[i], nullptr, &before[i]);
    if (before[i].sa_handler != SIG_IGN) sigaction(kStopSignals[i], &action, nullptr);
  }
  return before;
}

void StopTrainingOnSignals() {
  struct sigaction action {};
  action.sa_handler = RequestStop;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  AnswerStopSignals(action);
}

}  // namespace encke::cli
