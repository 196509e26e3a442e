// Ctrl-C, `kill` and a lost terminal end training after the current iteration, with a checkpoint.
#pragma once

#include <array>
#include <csignal>

namespace encke::cli {

// Requests to stop.
inline constexpr std::array<int, 3> kStopSignals = {SIGINT, SIGTERM, SIGHUP};
using StopActions = std::array<struct sigaction, kStopSignals.size()>;

// Has `action` answer them, but those that are ignored, as under nohup. Returns what did before.
StopActions AnswerStopSignals(const struct sigaction& action);

// From now on the first SIGINT, SIGTERM or SIGHUP asks the trainer to stop; one that comes half a
// second later or more ends the process.
void StopTrainingOnSignals();

}  // namespace encke::cli
