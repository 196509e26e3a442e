// One iteration's memory, step by step, and what each layer's values take.
#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "engine/core/units.h"
#include "tools/encke/format.h"
#include "tools/encke/report/layer_table.h"
#include "tools/encke/report/memory_chart.h"
#include "tools/encke/report/sections.h"
#include "tools/encke/report/svg.h"

namespace encke::cli::report {
namespace {

std::string Bytes(double bytes) { return FormatBytes(std::llround(bytes)); }

// In percent of the plan's own peak.
double AgainstPlan(const RunData& run) {
  double planned = 0;
  for (const MemoryPoint& point : run.memory) planned = std::max(planned, point.predicted_in_use);
  return 100 * (PeakOf(run).in_use / planned - 1);
}

std::string PeakRow(const RunData& run, size_t r, double widest) {
  const MemoryPoint& peak = PeakOf(run);
  return StrCat("<tr><th scope=\"row\">", Swatch(r), Escape(run.label), "</th><td class=\"bars\">",
                PeakBar(run, widest), "</td><td class=\"num\">", Bytes(peak.in_use),
                "</td><td class=\"num\">", FormatSigned(AgainstPlan(run), 1), "%</td><td>",
                Escape(Describe(peak)), "</td></tr>\n");
}

// The runs' peaks on one scale.
std::string PeakTable(const Runs& runs) {
  double widest = 1;
  for (const RunData& run : runs) {
    if (!run.memory.empty()) widest = std::max(widest, PeakOf(run).total);
  }
  std::string html =
      "<div class=\"scroll\"><table class=\"figures peaks\"><thead><tr><th>At the peak</th>"
      "<th class=\"bars\">held, by category</th><th class=\"num\">In use</th>"
      "<th class=\"num\">Against the plan</th><th>Step</th></tr></thead>\n";
  for (size_t r = 0; r < runs.size(); ++r) {
    if (!runs[r].memory.empty()) html += PeakRow(runs[r], r, widest);
  }
  return html + "</table></div>\n";
}

std::string TableOf(const RunData& run) {
  if (run.activations.empty()) {
    return Missing(
        "No saved values were logged: the run was shorter than activations.log_every, "
        "or activations.jsonl is missing.");
  }
  if (!run.compresses()) {
    double raw = 0;
    for (const ActivationSeries& series : run.activations) raw += series.last().raw_bytes;
    return Missing(StrCat(
        "Every value is kept as it is: ", FormatCount(static_cast<int64_t>(run.activations.size())),
        " values, ", Bytes(raw), "."));
  }
  return LayerTable(run);
}

}  // namespace

std::string MemorySection(const Runs& runs) {
  constexpr char kHeading[] = "Memory over one iteration";
  const bool any =
      std::any_of(runs.begin(), runs.end(), [](const RunData& run) { return !run.memory.empty(); });
  if (!any) {
    return Section("memory", kHeading, "",
                   Missing("The memory of an iteration was not recorded: memory.csv is missing or "
                           "empty."));
  }
  std::string charts;
  for (const RunData& run : runs) {
    charts += run.memory.empty() ? Missing(run.label + ": memory.csv is missing or empty.")
                                 : ToHtml(MemoryFigure(run));
  }
  const char* note = runs.size() > 1 ? "<p class=\"note\">The bars share a scale; each chart below "
                                       "has its own.</p>\n"
                                     : "";
  return Section("memory", kHeading,
                 "What is held at each step of the last logged iteration, by category. "
                 "<b>Unused</b> is reserved, but no tensor lives there at the moment. The peak of "
                 "the whole run can be higher: evaluation and audits hold more.",
                 MemoryLegend() + PeakTable(runs) + note + charts);
}

std::string LayersSection(const Runs& runs) {
  std::string content;
  bool open = true;  // the first table alone
  for (size_t r = 0; r < runs.size(); ++r) {
    const std::string table = TableOf(runs[r]);
    if (runs.size() == 1) {
      content += table;
      continue;
    }
    const bool shown = !runs[r].compresses() || open;
    if (runs[r].compresses()) open = false;
    content += StrCat("<details", shown ? " open" : "", "><summary>", Swatch(r),
                      Escape(runs[r].label), "</summary>\n", table, "</details>\n");
  }
  return Section(
      "layers", "Saved values, layer by layer",
      "The bar is what a value takes <span class=\"word raw\">raw</span>, its strong part "
      "what is <span class=\"word stored\">stored</span>, in the last logged iteration. "
      "Bars of stages are parts of the whole network. The small lines run from the first "
      "to the last logged iteration, each on a scale of its own.",
      content);
}

}  // namespace encke::cli::report
