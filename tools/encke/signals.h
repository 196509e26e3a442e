// Ctrl-C, `kill` and a lost terminal end training after the current iteration, with a checkpoint.
#pragma once

namespace encke::cli {

// From now on the first SIGINT, SIGTERM or SIGHUP asks the trainer to stop; one that comes half a
// second later or more ends the process.
void StopTrainingOnSignals();

}  // namespace encke::cli
