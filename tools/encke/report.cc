// `encke report`: one page about one or several runs.
#include <cstdio>
#include <memory>

#include "engine/core/error.h"
#include "engine/core/log.h"
#include "engine/core/units.h"
#include "tools/encke/command.h"
#include "tools/encke/newest_run.h"
#include "tools/encke/report/page.h"
#include "tools/encke/report/run_data.h"
#include "tools/encke/text_file.h"

namespace encke::cli {
namespace {

struct ReportArguments {
  std::vector<std::string> runs;
  std::string output = "report.html";
};

int Report(const ReportArguments& arguments) {
  std::vector<std::string> paths = arguments.runs;
  if (paths.empty()) paths.push_back(NewestRun("runs", "", "metrics.jsonl"));
  std::vector<report::RunData> runs;
  for (const std::string& path : paths) {
    runs.push_back(report::ReadRun(path));
    for (const std::string& warning : runs.back().warnings) LogWarning(warning);
  }
  report::LabelRuns(&runs);
  const std::string page = report::Page(runs);
  WriteTextFile(arguments.output, page);
  std::printf("written to %s (%s)\n", arguments.output.c_str(),
              FormatBytes(static_cast<int64_t>(page.size())).c_str());
  return 0;
}

}  // namespace

Command ReportCommand() {
  Command command;
  command.name = "report";
  command.summary = "Write a page about one or several runs";
  command.examples =
      "  encke report                                   the newest run in runs/\n"
      "  encke report runs/RAW runs/ENCKE --output comparison.html\n"
      "The page is one file that needs no network: learning, memory step by step, every saved\n"
      "value, bounds, audits, configuration. The order of the runs is that of their colours.";
  command.set_up = [](CLI::App& app) {
    auto arguments = std::make_shared<ReportArguments>();
    app.add_option("RUN", arguments->runs, "Run directories; default: the newest");
    app.add_option("--output", arguments->output, "The page; default: report.html")
        ->type_name("FILE");
    return [arguments] { return Report(*arguments); };
  };
  return command;
}

}  // namespace encke::cli
