#include "tools/encke/signals.h"

#include <csignal>

#include "engine/train/trainer.h"

namespace encke::cli {
namespace {

void RequestStop(int) { Trainer::RequestStop(); }

}  // namespace

void StopTrainingOnSignals() {
  struct sigaction action {};
  action.sa_handler = RequestStop;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

}  // namespace encke::cli
