// `encke test`: evaluates a checkpoint on the test split.
#include <cstdio>
#include <memory>

#include "engine/train/trainer.h"
#include "tools/encke/command.h"
#include "tools/encke/config_options.h"
#include "tools/encke/format.h"

namespace encke::cli {
namespace {

struct TestArguments {
  ConfigOptions config;
  std::string checkpoint;
};

int Test(const TestArguments& arguments) {
  TrainerOptions options;
  options.device = Device::Parse(arguments.config.device);
  options.resume = arguments.checkpoint;
  options.evaluate_only = true;
  options.write_run = false;
  Trainer trainer(arguments.config.Load(), options);
  const EvaluationResult result = trainer.Evaluate();
  std::printf("images  %s\ntop-1   %s%%\ntop-5   %s%%\nloss    %s\n",
              FormatCount(result.samples).c_str(), FormatFixed(result.top1, 2).c_str(),
              FormatFixed(result.top5, 2).c_str(), FormatFixed(result.loss, 4).c_str());
  return 0;
}

}  // namespace

Command TestCommand() {
  Command command;
  command.name = "test";
  command.summary = "Evaluate a checkpoint on the test data";
  command.examples =
      "  encke test resnet20_fashion --checkpoint runs/RUN/best.safetensors\n"
      "  encke test runs/RUN/config.textproto --checkpoint runs/RUN --set data.test=/data/other";
  command.set_up = [](CLI::App& app) {
    auto arguments = std::make_shared<TestArguments>();
    arguments->config.AddTo(app);
    arguments->config.AddBatch(app);
    arguments->config.AddSynthetic(app);
    app.add_option("--checkpoint", arguments->checkpoint,
                   "Checkpoint (.safetensors) or run directory")
        ->required()
        ->type_name("FILE|RUN");
    return [arguments] { return Test(*arguments); };
  };
  return command;
}

}  // namespace encke::cli
