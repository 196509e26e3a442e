// One mode of `encke compare`: trains in a process of its own and hands the figures over as JSON.
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine/backend/backend.h"
#include "engine/core/error.h"
#include "engine/core/units.h"
#include "engine/graph/plan_choice.h"
#include "engine/train/options.h"
#include "engine/train/trainer.h"
#include "tools/encke/child_process.h"
#include "tools/encke/command.h"
#include "tools/encke/config_options.h"
#include "tools/encke/progress.h"
#include "tools/encke/signals.h"
#include "tools/encke/summary_table.h"

namespace encke::cli {
namespace {

using nlohmann::ordered_json;

struct CompareModeArguments {
  ConfigOptions config;
  std::string memory_limit;
};

// The ratio of the values that the codec took with which the plan predicts what was measured.
double CodecRatio(const Plan& plan, int64_t stored_bytes) {
  int64_t raw = 0, others = plan.predicted_saved_bytes();
  for (const SavedValue& saved : plan.saved) {
    if (!saved.lossy() || saved.exact) continue;
    raw += saved.raw_bytes;
    others -= saved.predicted_bytes;
  }
  const int64_t coded = stored_bytes - others;
  const double floats =
      static_cast<double>(raw) * SizeOf(DType::F32) / SizeOf(plan.options.compute);
  return raw > 0 && coded > 0 ? floats / static_cast<double>(coded) : plan.options.assumed_ratio;
}

int64_t PlannedLargestBatch(const ConfigFile& config, const std::string& device, int64_t limit,
                            int64_t stored_bytes) {
  Graph graph = BuildNetwork(config);
  const auto backend = NewBackend(Device::Parse(device), MakeBackendOptions(config.config()));
  PlanOptions options = MakePlanOptions(config.config(), *backend);
  if (options.compress) {
    const Plan plan = ChoosePlan(graph, *backend, config.config().training().batch(), options,
                                 MemoryLimit(config.config()));
    options.assumed_ratio = CodecRatio(plan, stored_bytes);
  }
  return LargestBatch(graph, *backend, limit, options);
}

ordered_json ToJson(const TrainingResult& result) {
  const auto raw = static_cast<double>(result.raw_saved_bytes);
  return {{"peak_bytes", MemoryToJson(result.peak)},
          {"resident_peak_bytes", result.resident_peak_bytes},
          {"raw_saved_bytes", result.raw_saved_bytes},
          {"stored_bytes", result.stored_bytes},
          {"offloaded_bytes", result.offloaded_bytes},
          {"ratio", result.stored_bytes > 0 ? raw / static_cast<double>(result.stored_bytes) : 0.0},
          {"images_per_second", result.images_per_second},
          {"wait_fraction", result.wait_fraction},
          {"iterations", result.iterations},
          {"loss", result.loss},
          {"interrupted", result.interrupted}};
}

void AddEvaluation(const EvaluationResult& evaluation, ordered_json* mode) {
  const bool made = evaluation.samples > 0;
  (*mode)["accuracy"] = made ? ordered_json(evaluation.top1) : ordered_json();
  (*mode)["top5"] = made ? ordered_json(evaluation.top5) : ordered_json();
  (*mode)["test_loss"] = made ? ordered_json(evaluation.loss) : ordered_json();
  (*mode)["test_images"] = evaluation.samples;
}

void HandOver(const std::string& text) {
  size_t written = 0;
  while (written < text.size()) {
    const ssize_t count = write(kResultDescriptor, text.data() + written, text.size() - written);
    if (count <= 0) {
      throw Error(ErrorKind::USAGE, "cannot hand the result over", "",
                  "this command is for `encke compare` to call");
    }
    written += static_cast<size_t>(count);
  }
}

int CompareMode(const CompareModeArguments& arguments) {
  const ConfigFile config = arguments.config.Load();
  TrainerOptions options;
  options.device = Device::Parse(arguments.config.device);
  options.write_run = false;
  StopTrainingOnSignals();
  ordered_json mode;
  TrainingResult result;
  {
    Trainer trainer(config, options);
    ProgressPrinter printer;
    trainer.SetObserver([&](const Progress& progress) { printer.Show(progress); });
    result = trainer.Train();
    mode = ToJson(result);
    const bool evaluate = result.evaluation.samples == 0 && !result.interrupted;
    AddEvaluation(evaluate ? trainer.Evaluate() : result.evaluation, &mode);
  }
  if (!arguments.memory_limit.empty()) {
    mode["largest_batch"] = PlannedLargestBatch(
        config, arguments.config.device, ParseBytes(arguments.memory_limit), result.stored_bytes);
  }
  HandOver(mode.dump());
  return 0;
}

}  // namespace

Command CompareModeCommand() {
  Command command;
  command.name = "compare-mode";
  command.summary = "Train one mode for `encke compare`";
  command.hidden = true;
  command.set_up = [](CLI::App& app) {
    auto arguments = std::make_shared<CompareModeArguments>();
    arguments->config.AddTo(app);
    app.add_option("--memory-limit", arguments->memory_limit, "For the largest batch that fits");
    return [arguments] { return CompareMode(*arguments); };
  };
  return command;
}

}  // namespace encke::cli
