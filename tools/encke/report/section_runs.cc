// The head of the report: each run's key figures.
#include <cmath>
#include <functional>

#include "engine/core/error.h"
#include "engine/core/units.h"
#include "tools/encke/format.h"
#include "tools/encke/report/sections.h"
#include "tools/encke/report/svg.h"

namespace encke::cli::report {
namespace {

std::string BytesOr(double bytes) {
  return std::isfinite(bytes) ? FormatBytes(std::llround(bytes)) : "–";
}

std::string Percent(double value) {
  return std::isfinite(value) ? FormatFixed(value, 2) + "%" : "–";
}

std::string Number(double value, int decimals) {
  return std::isfinite(value) ? FormatFixed(value, decimals) : "–";
}

struct Figures {
  const char* name;
  std::function<std::string(const RunData&, const MetricPoint&)> text;
};

std::vector<Figures> Columns() {
  return {
      {"Iterations",
       [](const RunData&, const MetricPoint& m) {
         return m.iteration > 0 ? FormatCount(m.iteration) : std::string("–");
       }},
      {"Test top-1", [](const RunData& r, const MetricPoint&) { return Percent(TestAccuracy(r)); }},
      {"Training loss", [](const RunData&, const MetricPoint& m) { return Number(m.loss, 4); }},
      {"Peak memory", [](const RunData&, const MetricPoint& m) { return BytesOr(m.peak_bytes); }},
      {"Saved, raw", [](const RunData&, const MetricPoint& m) { return BytesOr(m.raw_bytes); }},
      {"Saved, stored",
       [](const RunData&, const MetricPoint& m) { return BytesOr(m.stored_bytes); }},
      {"Ratio",
       [](const RunData&, const MetricPoint& m) {
         return std::isfinite(m.ratio) ? FormatRatio(m.ratio) : "–";
       }},
      {"Images/s",
       [](const RunData&, const MetricPoint& m) { return Number(m.images_per_second, 1); }},
  };
}

std::string Table(const Runs& runs) {
  std::string html = "<div class=\"scroll\"><table class=\"figures\"><thead><tr><th>Run</th>";
  for (const Figures& column : Columns())
    html += StrCat("<th class=\"num\">", column.name, "</th>");
  html += "</tr></thead>\n";
  for (size_t r = 0; r < runs.size(); ++r) {
    html += StrCat("<tr><th scope=\"row\">", Swatch(r), Escape(runs[r].label), "</th>");
    for (const Figures& column : Columns()) {
      html += StrCat("<td class=\"num\">", column.text(runs[r], LastMetric(runs[r])), "</td>");
    }
    html += "</tr>\n";
  }
  return html + "</table></div>\n";
}

}  // namespace

std::string RunsSection(const Runs& runs) {
  return Section("runs", runs.size() == 1 ? "The run" : "The runs",
                 "As of the last logged iteration. <b>Peak</b> is the highest that Encke's ledger "
                 "counted, everything included; <b>saved</b> are the values that the backward pass "
                 "reads; <b>ratio</b> is raw over stored.",
                 Table(runs));
}

}  // namespace encke::cli::report
