// `encke train`: trains what a config describes.
#include <cstdio>
#include <filesystem>
#include <memory>

#include "engine/core/error.h"
#include "engine/core/units.h"
#include "engine/train/checkpoint.h"
#include "engine/train/options.h"
#include "engine/train/trainer.h"
#include "tools/encke/command.h"
#include "tools/encke/config_options.h"
#include "tools/encke/environment.h"
#include "tools/encke/format.h"
#include "tools/encke/newest_run.h"
#include "tools/encke/progress.h"
#include "tools/encke/signals.h"

namespace encke::cli {
namespace {

namespace fs = std::filesystem;

constexpr char kNewest[] = "newest";  // `--resume` without a value

struct TrainArguments {
  ConfigOptions config;
  std::string resume;
  std::string weights;
  std::string dump_folder;
  int64_t dump_iteration = 0;
};

void AddOptions(CLI::App& app, TrainArguments* arguments) {
  ConfigOptions& config = arguments->config;
  config.AddTo(app, /*config_required=*/false);
  config.AddLength(app);
  config.AddBatch(app);
  config.AddSeed(app);
  config.AddMode(app);
  config.AddTolerance(app);
  config.AddSynthetic(app);
  config.AddMemoryLimit(app);
  config.AddShorthand(app, "--output", "training.output", "Folder for run directories");
  CLI::Option* resume =
      app.add_option(
             "--resume", arguments->resume,
             "Go on from a run directory or checkpoint; without a value: from the newest run "
             "of this config")
          ->expected(0, 1)
          ->default_str(kNewest)
          ->type_name("RUN|FILE");
  app.add_option("--weights", arguments->weights,
                 "Start from the weights of a run or a .safetensors file, in place of random ones")
      ->excludes(resume)
      ->type_name("RUN|FILE");
  CLI::Option* at = app.add_option("--at-iteration", arguments->dump_iteration,
                                   "The iteration that --dump-activations writes")
                        ->check(CLI::PositiveNumber)
                        ->type_name("N");
  app.add_option("--dump-activations", arguments->dump_folder,
                 "Write the saved values of one iteration to this folder, as .npy files")
      ->needs(at)
      ->type_name("DIR");
}

// A run directory to go on from, or a checkpoint in one, brings its own config.
void TakeConfigFromRun(TrainArguments* arguments) {
  if (!arguments->config.config.empty()) return;
  const fs::path resume = arguments->resume == kNewest ? "" : arguments->resume;
  std::error_code ignored;
  if (!resume.empty() && !fs::exists(resume, ignored)) FindCheckpoint(resume.string());  // throws
  const fs::path folder = fs::is_directory(resume, ignored) ? resume : resume.parent_path();
  const fs::path config = folder / "config.textproto";
  if (resume.empty() || !fs::exists(config, ignored)) {
    throw Error(ErrorKind::USAGE,
                resume.empty() ? "CONFIG is missing"
                               : "CONFIG is missing, and there is no run in this folder to take it "
                                 "from",
                resume.empty() ? "" : folder.string(),
                "name a recipe, or a run directory: encke train --resume runs/RUN");
  }
  arguments->config.config = config.string();
}

void MakeFolder(const std::string& path) {
  if (path.empty()) return;
  std::error_code failure;
  fs::create_directories(path, failure);
  if (failure) throw Error(ErrorKind::DATA, "cannot make the folder: " + failure.message(), path);
}

void PrintResult(const TrainingResult& result) {
  std::printf("trained   %s iterations, %s img/s, %s%% of the time waiting for data\n",
              FormatCount(result.iterations).c_str(),
              FormatFixed(result.images_per_second, 1).c_str(),
              FormatFixed(100 * result.wait_fraction, 1).c_str());
  std::printf("loss      %s in training\n", FormatFixed(result.loss, 4).c_str());
  const EvaluationResult& test = result.evaluation;
  if (test.samples > 0) {
    std::printf("test      top-1 %s%%, top-5 %s%%, loss %s; best top-1 %s%%\n",
                FormatFixed(test.top1, 2).c_str(), FormatFixed(test.top5, 2).c_str(),
                FormatFixed(test.loss, 4).c_str(), FormatFixed(result.best_top1, 2).c_str());
  }
  const double ratio =
      static_cast<double>(result.raw_saved_bytes) / static_cast<double>(result.stored_bytes);
  std::printf("memory    peak %s, resident %s; %s for backward kept in %s (%s)\n",
              FormatBytes(result.peak.total()).c_str(),
              FormatBytes(result.resident_peak_bytes).c_str(),
              FormatBytes(result.raw_saved_bytes).c_str(), FormatBytes(result.stored_bytes).c_str(),
              FormatRatio(ratio).c_str());
  if (result.offloaded_bytes > 0) {
    std::printf("offloaded %s of these\n", FormatBytes(result.offloaded_bytes).c_str());
  }
  if (result.skipped_records > 0) {
    std::printf("skipped   %s broken images\n", FormatCount(result.skipped_records).c_str());
  }
  std::printf("run       %s\n", result.run_directory.c_str());
  if (!result.interrupted) return;
  std::error_code ignored;
  if (fs::exists(fs::path(result.run_directory) / "last.safetensors", ignored)) {
    std::printf("stopped   on request; go on with: encke train --resume %s\n",
                result.run_directory.c_str());
  } else {
    std::printf("stopped   on request, before there was anything to keep\n");
  }
}

int Train(TrainArguments* arguments) {
  TakeConfigFromRun(arguments);
  const ConfigFile config = arguments->config.Load();
  TrainerOptions options;
  options.device = Device::Parse(arguments->config.device);
  options.resume = arguments->resume;
  options.weights = arguments->weights;
  if (arguments->resume == kNewest) {
    options.resume = NewestRun(config.config().training().output(), RunName(config.config()),
                               "last.safetensors");
  }
  options.dump_activations = arguments->dump_folder;
  options.dump_at_iteration = arguments->dump_iteration;
  MakeFolder(arguments->dump_folder);
  options.environment = EnvironmentJson(config.config().training().threads());
  StopTrainingOnSignals();
  Trainer trainer(config, options);
  TrainingResult result;
  {
    ProgressPrinter printer;
    trainer.SetObserver([&](const Progress& progress) { printer.Show(progress); });
    result = trainer.Train();
  }
  PrintResult(result);
  if (arguments->dump_iteration > 0 && result.iterations >= arguments->dump_iteration) {
    std::printf("dump      iteration %lld in %s\n",
                static_cast<long long>(arguments->dump_iteration), arguments->dump_folder.c_str());
  }
  return 0;
}

}  // namespace

Command TrainCommand() {
  Command command;
  command.name = "train";
  command.summary = "Train a network";
  command.examples =
      "  encke train models/recipes/resnet20_fashion.textproto\n"
      "  encke train resnet20_fashion --epochs 2 --mode raw --seed 7\n"
      "  encke train vgg16 --data synthetic --batch 8 --iterations 20 --memory-limit 4GiB\n"
      "  encke train resnet20_fashion --set optimizer.learning_rate=0.05 --set "
      "schedule.kind=COSINE\n"
      "  encke train --resume runs/RUN\n"
      "  encke train resnet20_cifar10 --weights pretrained.safetensors\n"
      "  encke train resnet20_fashion --dump-activations dump --at-iteration 600\n"
      "Ctrl-C finishes the iteration, writes a checkpoint and ends; a second one ends at once.";
  command.set_up = [](CLI::App& app) {
    auto arguments = std::make_shared<TrainArguments>();
    AddOptions(app, arguments.get());
    return [arguments] { return Train(arguments.get()); };
  };
  return command;
}

}  // namespace encke::cli
