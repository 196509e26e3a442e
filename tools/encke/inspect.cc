// `encke inspect`: what was stored, layer by layer and over time.
#include <algorithm>
#include <cstdio>
#include <memory>

#include "engine/config/diagnostics.h"
#include "engine/core/error.h"
#include "engine/core/log.h"
#include "tools/encke/activation_log.h"
#include "tools/encke/command.h"
#include "tools/encke/inspect_text.h"
#include "tools/encke/newest_run.h"
#include "tools/encke/terminal.h"
#include "tools/encke/text_file.h"

namespace encke::cli {
namespace {

struct InspectArguments {
  std::string run, layer, csv, sort;
  int64_t iteration = 0;
  bool audit = false;
};

std::string TextOf(const InspectArguments& arguments, const std::vector<ActivationSeries>& all) {
  if (arguments.audit) return "\n" + AuditText(all, TerminalWidth(Stream::OUT, 0));
  if (arguments.layer.empty()) return "\n" + OverviewText(all, TerminalWidth(Stream::OUT, 0));
  const int width = std::clamp(TerminalWidth(Stream::OUT, 80) - 10, 20, 80);
  std::string text;
  for (const ActivationSeries& series : all) text += "\n" + HistoryText(series, width);
  return text;
}

std::vector<ActivationSeries> OnlyLayer(const std::string& layer,
                                        const std::vector<ActivationSeries>& all) {
  std::vector<ActivationSeries> chosen;
  std::vector<std::string> names;
  for (const ActivationSeries& s : all) {
    names.push_back(s.layer);
    if (s.layer == layer) chosen.push_back(s);
  }
  if (chosen.empty()) {
    throw Error(ErrorKind::USAGE,
                "nothing was saved of a layer '" + layer + "'" + DidYouMean(layer, names), "",
                "`encke inspect RUN` lists the layers");
  }
  return chosen;
}

int Inspect(const InspectArguments& arguments) {
  const std::string run =
      arguments.run.empty() ? NewestRun("runs", "", "activations.jsonl") : arguments.run;
  ActivationLog log = ReadActivationLog(run, arguments.iteration);
  for (const std::string& warning : log.warnings) LogWarning(warning);
  if (!arguments.layer.empty()) log.series = OnlyLayer(arguments.layer, log.series);
  if (!arguments.sort.empty()) SortSeries(arguments.sort, &log.series);
  std::string text = StrCat(run, ", iteration ", log.series.front().last().iteration, "\n");
  text += TextOf(arguments, log.series);
  if (!arguments.csv.empty()) {
    WriteTextFile(arguments.csv, CsvText(log.series));
    text += StrCat("\nwritten to ", arguments.csv, "\n");
  }
  std::fputs(text.c_str(), stdout);
  return 0;
}

}  // namespace

Command InspectCommand() {
  Command command;
  command.name = "inspect";
  command.summary = "Show what a run stored, layer by layer and over time";
  command.examples =
      "  encke inspect                          the newest run in runs/\n"
      "  encke inspect runs/RUN --sort stored\n"
      "  encke inspect runs/RUN --layer layer1.0.conv1\n"
      "  encke inspect runs/RUN --audit\n"
      "  encke inspect runs/RUN --iteration 600 --csv activations.csv\n"
      "sigma is the standard deviation that the stored values' error adds to the weight gradient,\n"
      "as predicted; audits measure it (activations.audit_every, activations.audit_at). Where "
      "there\n"
      "was one, sigma, measured and quotient are those of the last.";
  command.set_up = [](CLI::App& app) {
    auto arguments = std::make_shared<InspectArguments>();
    app.add_option("RUN", arguments->run,
                   "Run directory or activations.jsonl; default: the newest");
    app.add_option("--sort", arguments->sort,
                   "By ratio, stored, sigma, time (largest first) or name; default: as in the "
                   "network")
        ->check(CLI::IsMember({"ratio", "stored", "sigma", "time", "name"}))
        ->type_name("KEY");
    app.add_option("--layer", arguments->layer, "Only this layer, over the iterations")
        ->type_name("NAME");
    app.add_flag("--audit", arguments->audit,
                 "The noise predicted and measured in the newest audit of every layer");
    app.add_option("--csv", arguments->csv, "Also write all entries to this file")
        ->type_name("FILE");
    app.add_option("--iteration", arguments->iteration, "As of this iteration; default: the last")
        ->check(CLI::PositiveNumber)
        ->type_name("N");
    return [arguments] { return Inspect(*arguments); };
  };
  return command;
}

}  // namespace encke::cli
