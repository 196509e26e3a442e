// Evaluation over a whole data set.
#pragma once

#include <functional>

#include "data/loader.h"
#include "engine/graph/executor.h"
#include "engine/train/trainer.h"

namespace encke {

// Runs every image of `dataset` through the network in evaluation phase, with the executor's
// parameters as they are. Gives up (samples = 0) as soon as `stop` says so.
EvaluationResult EvaluateNetwork(Executor& executor, const Dataset& dataset,
                                 const LoaderOptions& options, const std::function<bool()>& stop);

}  // namespace encke
