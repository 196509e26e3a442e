// Ctrl-C and `kill` end training after the current iteration, with a checkpoint.
#pragma once

namespace encke::cli {

// From now on the first SIGINT or SIGTERM asks the trainer to stop; a second one ends the process.
void StopTrainingOnSignals();

}  // namespace encke::cli
