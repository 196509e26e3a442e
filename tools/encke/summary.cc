// `encke summary`: layers, parameters, what is saved and how, and the predicted peak.
#include <cstdio>
#include <memory>

#include "engine/backend/backend.h"
#include "engine/core/parallel.h"
#include "engine/graph/plan_choice.h"
#include "engine/train/options.h"
#include "tools/encke/command.h"
#include "tools/encke/config_options.h"
#include "tools/encke/summary_table.h"
#include "tools/encke/terminal.h"

namespace encke::cli {
namespace {

struct SummaryArguments {
  ConfigOptions config;
  bool json = false;
};

int Summary(const SummaryArguments& arguments) {
  const ConfigFile config = arguments.config.Load();
  SetThreads(config.config().training().threads());
  Graph graph = BuildNetwork(config);
  const auto backend =
      NewBackend(Device::Parse(arguments.config.device), MakeBackendOptions(config.config()));
  const Plan plan =
      ChoosePlan(graph, *backend, config.config().training().batch(),
                 MakePlanOptions(config.config(), *backend), MemoryLimit(config.config()));
  const NetworkSummary summary = Summarize(graph, plan);
  const std::string text = arguments.json ? ToJson(summary).dump(2) + "\n"
                                          : ToText(summary, TerminalWidth(Stream::OUT, 0));
  std::fputs(text.c_str(), stdout);
  return 0;
}

}  // namespace

Command SummaryCommand() {
  Command command;
  command.name = "summary";
  command.summary = "Show layers, parameters, saved values and the predicted peak memory";
  command.examples =
      "  encke summary resnet50 --batch 32\n"
      "  encke summary models/vgg16.textproto --mode raw\n"
      "  encke summary resnet20_fashion --json | jq .predicted_peak_bytes.total";
  command.set_up = [](CLI::App& app) {
    auto arguments = std::make_shared<SummaryArguments>();
    arguments->config.AddTo(app);
    arguments->config.AddBatch(app);
    arguments->config.AddMode(app);
    arguments->config.AddMemoryLimit(app);
    app.add_flag("--json", arguments->json, "Print one JSON object instead of tables");
    return [arguments] { return Summary(*arguments); };
  };
  return command;
}

}  // namespace encke::cli
