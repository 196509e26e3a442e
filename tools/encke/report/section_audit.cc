// The noise that was predicted in weight gradients against the noise that audits measured.
#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "tools/encke/format.h"
#include "tools/encke/report/scatter_chart.h"
#include "tools/encke/report/sections.h"

namespace encke::cli::report {
namespace {

constexpr double kLow = 0.8, kHigh = 1.25;  // of measured over predicted

struct Audited {
  const ActivationSeries* series;
  const AuditEntry* audit;
};

std::vector<Audited> AuditsOf(const RunData& run) {
  std::vector<Audited> audits;
  for (const ActivationSeries& series : run.activations) {
    for (const AuditEntry& audit : series.audits) {
      if (audit.predicted_sigma > 0 && audit.measured_sigma > 0)
        audits.push_back({&series, &audit});
    }
  }
  std::sort(audits.begin(), audits.end(), [](const Audited& a, const Audited& b) {
    return a.audit->quotient() < b.audit->quotient();
  });
  return audits;
}

std::string NameOf(const Audited& audited) {
  return audited.audit->consumer.empty() ? audited.series->layer : audited.audit->consumer;
}

ScatterPoint PointOf(const Audited& audited, const RunData& run, size_t colour) {
  const AuditEntry& audit = *audited.audit;
  return {audit.predicted_sigma, audit.measured_sigma, ColourOf(colour), "",
          StrCat(NameOf(audited), "\n", run.label, ", iteration ", audit.iteration,
                 "\npredicted: ", FormatSignificant(audit.predicted_sigma, 3),
                 "\nmeasured: ", FormatSignificant(audit.measured_sigma, 3),
                 "\nquotient: ", FormatFixed(audit.quotient(), 2))};
}

// REQUIRES: ordered by their quotients, not empty.
double Median(const std::vector<Audited>& audits) {
  const size_t last = audits.size() - 1;
  return (audits[last / 2].audit->quotient() + audits[last - last / 2].audit->quotient()) / 2;
}

std::string Extreme(const char* name, const Audited& audited) {
  return StrCat("<dt>", name, "</dt><dd>", FormatFixed(audited.audit->quotient(), 2), " <small>",
                Escape(NameOf(audited)), ", iteration ", audited.audit->iteration, "</small></dd>");
}

// A run's audits in figures; "" where there is none.
std::string Card(const RunData& run, size_t colour) {
  const std::vector<Audited> audits = AuditsOf(run);
  if (audits.empty()) return "";
  const auto inside = std::count_if(audits.begin(), audits.end(), [](const Audited& a) {
    return a.audit->quotient() >= kLow && a.audit->quotient() <= kHigh;
  });
  const double share = 100.0 * static_cast<double>(inside) / static_cast<double>(audits.size());
  return StrCat("<div class=\"card\"><h3>", Swatch(colour), Escape(run.label), "</h3><p><b>",
                FormatFixed(share, 1), "%</b> of ", audits.size(),
                " audits within [0.8, 1.25]</p><dl><dt>median</dt><dd>",
                FormatFixed(Median(audits), 2), " <small>measured over predicted</small></dd>",
                Extreme("lowest", audits.front()), Extreme("highest", audits.back()),
                "</dl></div>\n");
}

}  // namespace

std::string AuditSection(const Runs& runs) {
  constexpr char kHeading[] = "Predicted against measured noise";
  ScatterChart chart;
  double low = INFINITY, high = 0;
  std::string cards;
  for (size_t r = 0; r < runs.size(); ++r) {
    cards += Card(runs[r], r);
    for (const Audited& audited : AuditsOf(runs[r])) {
      chart.points.push_back(PointOf(audited, runs[r], r));
      const AuditEntry& audit = *audited.audit;
      low = std::min({low, audit.predicted_sigma, audit.measured_sigma});
      high = std::max({high, audit.predicted_sigma, audit.measured_sigma});
    }
  }
  if (chart.points.empty()) {
    return Section("audits", kHeading, "",
                   Missing("There was no audit. Training with --set activations.audit_every=50 "
                           "compares one layer with its exact gradient every 50 iterations."));
  }
  chart.title = "Standard deviation of the error in a weight gradient";
  chart.unit = "sigma; a dot for each audit";
  chart.x = chart.y = LogAxis(low, high);
  chart.x_name = "predicted from the bound →";
  chart.y_name = "measured against the exact gradient";
  chart.band_low = kLow;
  chart.band_high = kHigh;
  return Section(
      "audits", kHeading,
      "Audits compute a layer's exact weight gradient too. On the diagonal the prediction "
      "was right; the band is from 0.8 to 1.25 times it.",
      "<div class=\"square\">" + ToHtml(MakeFigure(chart, {640, 520, false}, {360, 340, true})) +
          "<div>" + cards + "</div></div>\n");
}

}  // namespace encke::cli::report
