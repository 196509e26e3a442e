#include "engine/core/error.h"
#include "tools/encke/report/sections.h"
#include "tools/encke/report/svg.h"

namespace encke::cli::report {

std::string Section(const std::string& id, const std::string& heading, const std::string& lede,
                    const std::string& content) {
  return StrCat("<section id=\"", id, "\"><h2>", Escape(heading), "</h2>\n",
                lede.empty() ? "" : StrCat("<p class=\"lede\">", lede, "</p>\n"), content,
                "</section>\n");
}

std::string Missing(const std::string& text) {
  return StrCat("<p class=\"missing\">", Escape(text), "</p>\n");
}

int ColourOf(size_t run) {
  constexpr size_t kColours = 8;  // run0 ... run7
  return static_cast<int>(run % kColours);
}

std::string Swatch(size_t run) { return StrCat("<i class=\"swatch run", ColourOf(run), "\"></i>"); }

std::string Legend(const Runs& runs, const std::function<bool(const RunData&)>& shown) {
  if (runs.size() < 2) return "";
  std::string html = "<p class=\"legend\">";
  for (size_t r = 0; r < runs.size(); ++r) {
    if (!shown(runs[r])) continue;
    html += StrCat("<span class=\"key\">", Swatch(r), Escape(runs[r].label), "</span> ");
  }
  return html + "</p>\n";
}

double TestAccuracy(const RunData& run) {
  return run.evaluations.empty() ? kUnknown : run.evaluations.back().top1;
}

MetricPoint LastMetric(const RunData& run) {
  return run.metrics.empty() ? MetricPoint() : run.metrics.back();
}

}  // namespace encke::cli::report
