#include "tools/encke/report/page.h"

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "engine/core/units.h"
#include "tools/encke/format.h"
#include "tools/encke/report/config_text.h"
#include "tools/encke/report/page_files.h"
#include "tools/encke/report/svg.h"
#include "tools/encke/version.h"

namespace encke::cli::report {
namespace {

// `text` put in the place of the template's {{name}}.
void Fill(const std::string& name, const std::string& text, std::string* page) {
  const std::string slot = "{{" + name + "}}";
  const size_t at = page->find(slot);
  ENCKE_CHECK(at != std::string::npos, name);
  page->replace(at, slot.size(), text);
}

std::string Field(const RunData& run, const std::string& key) {
  const FlatConfig config = Flatten(run.config);
  const auto found = config.find(key);
  return found == config.end() ? "" : found->second;
}

std::string TitleOf(const Runs& runs) {
  const std::string name = Field(runs.front(), "name");
  const bool same = std::all_of(runs.begin(), runs.end(),
                                [&](const RunData& run) { return Field(run, "name") == name; });
  if (name.empty() || !same) return runs.size() == 1 ? runs.front().label : "Training runs";
  return name;
}

std::string Bytes(double bytes) { return FormatBytes(std::llround(bytes)); }

// The run that stores least, which the page leads with.
const RunData& Smallest(const Runs& runs) {
  return *std::max_element(runs.begin(), runs.end(), [](const RunData& a, const RunData& b) {
    const double left = LastMetric(a).ratio, right = LastMetric(b).ratio;
    return (std::isfinite(left) ? left : 0) < (std::isfinite(right) ? right : 0);
  });
}

std::string PeakWords(const Runs& runs, const RunData& best) {
  const double peak = LastMetric(best).peak_bytes;
  if (!std::isfinite(peak)) return "";
  std::string words = StrCat(", with a memory peak of <b>", Bytes(peak), "</b>");
  const auto raw = std::find_if(runs.begin(), runs.end(), [](const RunData& run) {
    return !run.compresses() && LastMetric(run).peak_bytes > 0;
  });
  if (raw == runs.end()) return words;
  return StrCat(words, " where uncompressed training needs ", Bytes(LastMetric(*raw).peak_bytes));
}

// What the runs show, in a sentence.
std::string Standfirst(const Runs& runs) {
  const RunData& best = Smallest(runs);
  const MetricPoint last = LastMetric(best);
  if (!std::isfinite(last.ratio)) return "Nothing was logged yet.";
  if (!best.compresses()) {
    return StrCat("Trained uncompressed: ", Bytes(last.raw_bytes),
                  " are kept for the backward pass", PeakWords(runs, best), ".");
  }
  return StrCat(
      runs.size() > 1 ? StrCat("The smallest, <i>", Escape(best.label), "</i>, keeps ") : "Keeps ",
      Bytes(last.raw_bytes), " for the backward pass in <b>", Bytes(last.stored_bytes), "</b>, ",
      FormatFixed(last.ratio, 1), " times less", PeakWords(runs, best), ".");
}

}  // namespace

std::string Page(const Runs& runs) {
  const std::string body = RunsSection(runs) + LearningSection(runs) + MemorySection(runs) +
                           LayersSection(runs) + RatioSection(runs) + AuditSection(runs) +
                           TradeSection(runs) + ProvenanceSection(runs);
  std::string page = kPageHtml;
  Fill("title", Escape(TitleOf(runs)), &page);
  Fill("style", kPageCss, &page);
  Fill("heading", Escape(TitleOf(runs)), &page);
  Fill("standfirst", Standfirst(runs), &page);
  Fill("version", kVersion, &page);
  Fill("script", kPageJs, &page);
  Fill("body", body, &page);
  return page;
}

}  // namespace encke::cli::report
