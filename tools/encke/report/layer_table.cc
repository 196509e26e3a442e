#include "tools/encke/report/layer_table.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "engine/core/error.h"
#include "engine/core/units.h"
#include "tools/encke/format.h"
#include "tools/encke/report/stages.h"
#include "tools/encke/report/svg.h"

namespace encke::cli::report {
namespace {

constexpr size_t kFoldAbove = 60;  // rows; longer tables open with their stages only

// Bytes of one or several values.
struct Sum {
  double raw = 0, stored = 0;
  void Add(const ActivationEntry& entry) {
    raw += entry.raw_bytes;
    stored += entry.stored_bytes;
  }
  double ratio() const { return stored > 0 ? raw / stored : kUnknown; }
};

std::string Bytes(double bytes) { return FormatBytes(std::llround(bytes)); }

std::string Cell(const std::string& content, const std::string& css = "") {
  return StrCat("<td", css.empty() ? "" : " class=\"" + css + "\"", ">", content, "</td>");
}

// `widest`: raw bytes that fill the cell.
std::string Bar(const Sum& sum, double widest) {
  const double raw = 100 * sum.raw / widest;
  const double stored = sum.raw > 0 ? std::min(100.0, 100 * sum.stored / sum.raw) : 0;
  return StrCat("<span class=\"bar\" style=\"width:", Px(raw), "%\"><i style=\"width:", Px(stored),
                "%\"></i></span>");
}

// A course without axes, from its lowest to its highest value.
std::string SparkSvg(const std::vector<double>& values) {
  constexpr double kWidth = 56, kHeight = 16;
  constexpr size_t kMost = 60;
  std::vector<Point> points;
  const size_t stride = std::max<size_t>(1, values.size() / kMost);
  for (size_t i = 0; i < values.size(); i += stride) {
    if (std::isfinite(values[i])) points.push_back({static_cast<double>(i), values[i]});
  }
  if (points.size() < 2) return "";
  const auto [low, high] = std::minmax_element(
      points.begin(), points.end(), [](const Point& a, const Point& b) { return a.y < b.y; });
  const double base = low->y, range = high->y - low->y;
  const double last = points.back().x;
  for (Point& point : points) {
    point.x = 1 + (kWidth - 2) * point.x / last;
    const double part = range > 0 ? (point.y - base) / range : 0.5;
    point.y = kHeight - 2 - (kHeight - 4) * part;
  }
  std::string data;
  for (const Point& p : points) data += StrCat(data.empty() ? "M" : "L", Px(p.x), " ", Px(p.y));
  return StrCat("<svg class=\"spark\" viewBox=\"0 0 56 16\" aria-hidden=\"true\"><path d=\"", data,
                "\"/></svg>");
}

std::string Spark(const ActivationSeries& series,
                  const std::function<double(const ActivationEntry&)>& value) {
  std::vector<double> values;
  for (const ActivationEntry& entry : series.entries) values.push_back(value(entry));
  return SparkSvg(values);
}

// A number that the script sorts by; unknown ones come last.
std::string Key(const char* name, double value) {
  return StrCat(" data-", name, "=\"", std::isfinite(value) ? FormatSignificant(value, 6) : "-1",
                "\"");
}

std::string Words(std::string kind) {
  std::replace(kind.begin(), kind.end(), '_', ' ');
  return kind;
}

std::string LayerRow(const ActivationSeries& series, size_t order, double widest) {
  const ActivationEntry& last = series.last();
  Sum sum;
  sum.Add(last);
  const bool has_bound = last.error_bound > 0;
  return StrCat(
      "<tr", Key("order", static_cast<double>(order)), Key("raw", sum.raw),
      Key("stored", sum.stored), Key("ratio", sum.ratio()),
      Key("bound", has_bound ? last.error_bound : kUnknown), "><th scope=\"row\">",
      Escape(series.layer), " <small>", Escape(Words(series.kind)), " <span>", Escape(series.shape),
      "</span>", "</small></th>", Cell(Bar(sum, widest), "bars"), Cell(Bytes(sum.raw), "num raw"),
      Cell(Bytes(sum.stored), "num"), Cell(FormatRatio(sum.ratio()), "num"),
      Cell(Spark(series, [](const ActivationEntry& e) { return e.ratio(); }), "course"),
      Cell(has_bound ? FormatSignificant(last.error_bound, 2) : "–", "num bound"),
      Cell(has_bound ? Spark(series, [](const ActivationEntry& e) { return e.error_bound; }) : "",
           "course bound"),
      "</tr>\n");
}

std::string StageRow(const std::string& name, size_t count, const Sum& sum, double widest) {
  return StrCat("<tr class=\"stage\"><th scope=\"rowgroup\"><button type=\"button\">", Escape(name),
                "</button> <small>", FormatCount(static_cast<int64_t>(count)),
                " values</small></th>", Cell(Bar(sum, widest), "bars"),
                Cell(Bytes(sum.raw), "num raw"), Cell(Bytes(sum.stored), "num"),
                Cell(FormatRatio(sum.ratio()), "num"), Cell("", "course"), Cell("", "bound"),
                Cell("", "course bound"), "</tr>\n");
}

std::string PlainRow(const std::string& css, const std::string& name, const Sum& sum,
                     const std::string& bar) {
  return StrCat("<tbody class=\"", css, "\"><tr><th scope=\"row\">", name, "</th>",
                Cell(bar, "bars"), Cell(Bytes(sum.raw), "num raw"), Cell(Bytes(sum.stored), "num"),
                Cell(FormatRatio(sum.ratio()), "num"), Cell("", "course"), Cell("", "bound"),
                Cell("", "course bound"), "</tr></tbody>\n");
}

std::string Header(const char* key, const char* name, const char* css) {
  return StrCat("<th class=\"", css, "\"><button type=\"button\" data-sort=\"", key, "\">", name,
                "</button></th>");
}

std::string Head() {
  return StrCat("<thead><tr>", Header("order", "Layer", ""),
                "<th class=\"bars\"><span class=\"sr\">raw and stored</span></th>",
                Header("raw", "Raw", "num raw"), Header("stored", "Stored", "num"),
                Header("ratio", "Ratio", "num"), "<th class=\"course\">over time</th>",
                Header("bound", "Bound", "num bound"),
                "<th class=\"course bound\">over time</th></tr></thead>\n");
}

struct Parts {
  std::vector<const ActivationSeries*> shown, small;
  Sum all, all_small;
};

// In the order of their numbers; a value is stored when the last layer that reads it has run, but
// belongs where it was made.
Parts Divide(const RunData& run) {
  Parts parts;
  for (const ActivationSeries& series : run.activations) parts.all.Add(series.last());
  for (const ActivationSeries& series : run.activations) {
    const bool is_small = series.last().raw_bytes < parts.all.raw / 1000;
    (is_small ? parts.small : parts.shown).push_back(&series);
    if (is_small) parts.all_small.Add(series.last());
  }
  std::stable_sort(parts.shown.begin(), parts.shown.end(),
                   [](const auto* a, const auto* b) { return a->value < b->value; });
  return parts;
}

double WidestOf(const std::vector<const ActivationSeries*>& series) {
  double widest = 1;
  for (const ActivationSeries* s : series) widest = std::max(widest, s->last().raw_bytes);
  return widest;
}

std::string StageBody(const Stage& stage, const Parts& parts, double widest, double widest_stage) {
  Sum sum;
  std::string rows;
  for (size_t i = stage.first; i <= stage.last; ++i) {
    sum.Add(parts.shown[i]->last());
    rows += LayerRow(*parts.shown[i], i, widest);
  }
  const size_t count = stage.last - stage.first + 1;
  const bool alone = count == 1;
  return StrCat("<tbody>", alone ? "" : StageRow(stage.name, count, sum, widest_stage), rows,
                "</tbody>\n");
}

}  // namespace

std::string LayerTable(const RunData& run) {
  const Parts parts = Divide(run);
  std::vector<std::string> layers;
  for (const ActivationSeries* series : parts.shown) layers.push_back(series->layer);
  const double widest = WidestOf(parts.shown);
  const bool folded = parts.shown.size() > kFoldAbove;
  std::string html = StrCat("<table class=\"layers", folded ? " long" : "", "\">\n", Head());
  for (const Stage& stage : StagesOf(layers)) {
    html += StageBody(stage, parts, widest, parts.all.raw);
  }
  if (!parts.small.empty()) {
    html += PlainRow("rest",
                     StrCat(FormatCount(static_cast<int64_t>(parts.small.size())),
                            " small values <small>below 0.1% each</small>"),
                     parts.all_small, Bar(parts.all_small, parts.all.raw));
  }
  return html + PlainRow("total", "All saved values", parts.all, Bar(parts.all, parts.all.raw)) +
         "</table>\n";
}

}  // namespace encke::cli::report
