// `encke check`: everything that can be found wrong with a config without training.
#include <cstdio>
#include <filesystem>
#include <memory>

#include "data/dataset.h"
#include "data/loader.h"
#include "engine/backend/backend.h"
#include "engine/core/error.h"
#include "engine/core/log.h"
#include "engine/core/parallel.h"
#include "engine/core/units.h"
#include "engine/graph/plan_choice.h"
#include "engine/train/options.h"
#include "engine/train/timetable.h"
#include "tools/encke/command.h"
#include "tools/encke/config_options.h"
#include "tools/encke/format.h"

namespace encke::cli {
namespace {

// Null, with a warning, where there is nothing at the data's path, which is no mistake of the
// config: another machine may have it.
std::unique_ptr<Dataset> OpenIfThere(const config::Config& config, Split split) {
  const DatasetOptions options = MakeDatasetOptions(config, split);
  try {
    return OpenDataset(options, split);
  } catch (const Error& error) {
    const bool own = split == Split::TEST && !options.test.empty();
    std::error_code ignored;
    const bool there = std::filesystem::exists(own ? options.test : options.train, ignored);
    if (error.kind() != ErrorKind::DATA || there) throw;
    LogWarning(error.what());
    return nullptr;
  }
}

// Throws where the images do not do for the batch.
void CheckLength(const config::Config& config, const Dataset& data, Backend* backend) {
  const auto loader =
      NewLoader(data, MakeLoaderOptions(config, Split::TRAIN), backend->host_allocator());
  Timetable(config.training(), loader->batches_per_epoch(), loader->samples_per_epoch());
}

int Check(const ConfigOptions& arguments) {
  const ConfigFile file = arguments.Load();
  SetThreads(file.config().training().threads());
  Graph graph = BuildNetwork(file);
  const auto backend =
      NewBackend(Device::Parse(arguments.device), MakeBackendOptions(file.config()));
  const int64_t asked = MemoryLimit(file.config());
  const int64_t limit = asked > 0 ? asked : backend->allocator().limit();  // a GPU's
  const PlanOptions options = MakePlanOptions(file.config(), *backend);
  const Plan plan = ChoosePlan(graph, *backend, file.config().training().batch(), options, limit);
  RequireFits(graph, *backend, plan, options, limit, file.Place("training.memory_limit"));
  StoreOptions store = MakeStoreOptions(file.config().activations());
  store.offload = store.offload || plan.predicted_offloaded_bytes() > 0;
  backend->NewActivationStore(store);
  const auto train = OpenIfThere(file.config(), Split::TRAIN);
  if (train != nullptr) CheckLength(file.config(), *train, backend.get());
  const bool all = train != nullptr && OpenIfThere(file.config(), Split::TEST) != nullptr;
  std::printf("ok: %s, %zu layers, %s parameters, %s MACs an image, batch %lld, %s, peak %s%s\n",
              RunName(file.config()).c_str(), graph.nodes.size(),
              FormatCount(graph.TrainedParameters()).c_str(),
              FormatSi(static_cast<double>(graph.Macs()) / static_cast<double>(plan.batch)).c_str(),
              static_cast<long long>(plan.batch), plan.options.compress ? "encke" : "raw",
              FormatBytes(plan.peak.use.total()).c_str(), all ? "" : "; data missing, see above");
  return 0;
}

}  // namespace

Command CheckCommand() {
  Command command;
  command.name = "check";
  command.summary = "Check a config: syntax, network, plan and data, without training";
  command.examples =
      "  encke check models/recipes/resnet20_fashion.textproto\n"
      "  encke check vgg16 --batch 32 --memory-limit 4GiB";
  command.set_up = [](CLI::App& app) {
    auto arguments = std::make_shared<ConfigOptions>();
    arguments->AddTo(app);
    arguments->AddBatch(app);
    arguments->AddMode(app);
    arguments->AddSynthetic(app);
    arguments->AddMemoryLimit(app);
    return [arguments] { return Check(*arguments); };
  };
  return command;
}

}  // namespace encke::cli
