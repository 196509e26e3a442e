// From the config's messages to the options of the parts that training is made of.
#pragma once

#include <cstdint>
#include <string>

#include "data/dataset.h"
#include "data/loader.h"
#include "engine/graph/executor.h"
#include "engine/train/optimizer.h"
#include "models/encke.pb.h"

namespace encke {

DatasetOptions MakeDatasetOptions(const config::Config& config, Split split);
// TRAIN: shuffled and augmented; TEST: in order, every image once, centre crops.
LoaderOptions MakeLoaderOptions(const config::Config& config, Split split);
PlanOptions MakePlanOptions(const config::Config& config, const Backend& backend);
StoreOptions MakeStoreOptions(const config::Activations& activations);
ExecutorOptions MakeExecutorOptions(const config::Config& config, const Backend& backend);
BackendOptions MakeBackendOptions(const config::Config& config);
OptimizerOptions MakeOptimizerOptions(const config::Optimizer& optimizer);

// training.memory_limit in bytes; 0: none.
int64_t MemoryLimit(const config::Config& config);

// The name of a run: the config's, else the network's, else "run".
std::string RunName(const config::Config& config);

}  // namespace encke
