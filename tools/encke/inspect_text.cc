#include "tools/encke/inspect_text.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"
#include "engine/core/units.h"
#include "tools/encke/format.h"
#include "tools/encke/table.h"

namespace encke::cli {
namespace {

constexpr int kSparkWidth = 12;
constexpr size_t kMostRows = 40;                       // of a history
constexpr double kInsideFrom = 0.8, kInsideTo = 1.25;  // quotients of an audit that count as right
constexpr double kSmall = 0.001;  // of all raw bytes: such values share a row of the overview

using Cells = std::vector<std::string>;

void Append(const Cells& more, Cells* cells) {
  cells->insert(cells->end(), more.begin(), more.end());
}

Cells EntryCells(const ActivationEntry& e) {
  return {FormatBytes(static_cast<int64_t>(e.raw_bytes)),
          FormatBytes(static_cast<int64_t>(e.stored_bytes)),
          FormatRatio(e.ratio()),
          FormatSignificant(e.error_bound, 3),
          FormatFixed(100 * e.nonzero_fraction, 1),
          FormatFixed(e.encode_us / 1000, 2),
          FormatFixed(e.decode_us / 1000, 2)};
}

void AddEntryColumns(Table* table) {
  for (const char* header :
       {"raw", "stored", "ratio", "bound", "nonzero %", "encode ms", "decode ms"}) {
    table->AddColumn(header);
  }
}

Cells AuditCells(const AuditEntry& audit) {
  return {FormatSignificant(audit.predicted_sigma, 3), FormatSignificant(audit.measured_sigma, 3),
          FormatFixed(audit.quotient(), 2)};
}

void AddAuditColumns(Table* table) {
  for (const char* header : {"sigma", "measured", "quotient"}) table->AddColumn(header);
}

using Member = std::function<double(const ActivationEntry&)>;

std::vector<double> Over(const ActivationSeries& series, const Member& member) {
  std::vector<double> values;
  for (const ActivationEntry& entry : series.entries) values.push_back(member(entry));
  return values;
}

double RatioOf(const ActivationEntry& entry) { return entry.ratio(); }

// Adds what is known; unknown adds nothing.
void Accumulate(double value, double* sum) {
  if (!std::isnan(value)) *sum += value;
}

void Add(const ActivationEntry& entry, ActivationEntry* sum) {
  sum->raw_bytes += entry.raw_bytes;
  sum->stored_bytes += entry.stored_bytes;
  Accumulate(entry.encode_us, &sum->encode_us);
  Accumulate(entry.decode_us, &sum->decode_us);
}

// What several values take together.
struct Sum {
  int64_t count = 0;
  ActivationEntry entry;

  Sum() { entry.encode_us = entry.decode_us = 0; }
  void operator+=(const ActivationEntry& other) {
    ++count;
    Add(other, &entry);
  }
};

// A row for a sum: what cannot be summed stays empty.
Cells SumRow(const std::string& name, const Sum& sum) {
  Cells row = {name, "", ""};
  Append(EntryCells(sum.entry), &row);
  std::replace(row.begin(), row.end(), std::string("-"), std::string());
  return row;
}

// NaN sorts last.
bool Greater(double a, double b) { return !std::isnan(a) && (std::isnan(b) || a > b); }

std::string EntryTable(const ActivationSeries& series) {
  Table table;
  table.AddColumn("iteration");
  AddEntryColumns(&table);
  table.AddColumn("sigma");
  const size_t count = series.entries.size();
  const size_t rows = std::min(count, kMostRows);
  for (size_t i = 0; i < rows; ++i) {
    const ActivationEntry& entry = series.entries[rows > 1 ? (count - 1) * i / (rows - 1) : 0];
    Cells row = {std::to_string(entry.iteration)};
    Append(EntryCells(entry), &row);
    row.push_back(FormatSignificant(entry.predicted_sigma, 3));
    table.AddRow(row);
  }
  std::string text = table.ToString();
  if (rows < count) text += StrCat(rows, " of ", count, " entries shown; --csv writes all\n");
  return text;
}

std::string AuditTable(const std::vector<AuditEntry>& audits, int width = 0) {
  Table table;
  table.AddColumn("audit of", Table::Align::LEFT);
  table.AddColumn("iteration");
  AddAuditColumns(&table);
  for (const char* header : {"correction", "bias", "max error", "of bound"})
    table.AddColumn(header);
  for (const AuditEntry& audit : audits) {
    Cells row = {audit.consumer, std::to_string(audit.iteration)};
    Append(AuditCells(audit), &row);
    row.push_back(FormatFixed(audit.correction, 2));
    row.push_back(FormatSignificant(audit.bias, 2));
    row.push_back(FormatSignificant(audit.max_abs_error, 3));
    row.push_back(FormatFixed(audit.error_over_bound, 2));
    table.AddRow(row);
  }
  return table.ToString(width);
}

// The newest audit of each layer, in the order of the saved values.
std::vector<AuditEntry> NewestAudits(const std::vector<ActivationSeries>& series) {
  std::vector<AuditEntry> newest;
  for (const ActivationSeries& s : series) {
    for (const AuditEntry& audit : s.audits) {
      const auto same = std::find_if(newest.begin(), newest.end(), [&](const AuditEntry& n) {
        return n.consumer == audit.consumer;
      });
      if (same == newest.end()) {
        newest.push_back(audit);
      } else if (audit.iteration >= same->iteration) {
        *same = audit;
      }
    }
  }
  return newest;
}

// Exactly what the log said; empty for unknown.
std::string CsvNumber(double value) {
  return std::isfinite(value) ? nlohmann::json(value).dump() : "";
}

std::string CsvLine(const std::vector<std::string>& texts, const std::vector<double>& numbers) {
  std::string line;
  for (const std::string& text : texts) line += (line.empty() ? "" : ",") + text;
  for (const double number : numbers) line += "," + CsvNumber(number);
  return line + "\n";
}

// "dense, fast": all that the value was kept with, in the order of time.
std::string Codecs(const ActivationSeries& series) {
  std::string list, last;
  for (const ActivationEntry& entry : series.entries) {
    if (entry.codec == last) continue;
    last = entry.codec;
    if ((", " + list + ",").find(", " + last + ",") != std::string::npos) continue;
    list += (list.empty() ? "" : ", ") + last;
  }
  return list;
}

// With which it was kept in an iteration; "": the log does not say.
std::string CodecIn(const ActivationSeries& series, int64_t iteration) {
  const auto found =
      std::find_if(series.entries.begin(), series.entries.end(),
                   [&](const ActivationEntry& entry) { return entry.iteration == iteration; });
  return found == series.entries.end() ? "" : found->codec;
}

}  // namespace

void SortSeries(const std::string& key, std::vector<ActivationSeries>* series) {
  if (key == "name") {
    std::stable_sort(
        series->begin(), series->end(),
        [](const ActivationSeries& a, const ActivationSeries& b) { return a.layer < b.layer; });
    return;
  }
  const std::map<std::string, std::function<double(const ActivationSeries&)>> keys = {
      {"ratio", [](const ActivationSeries& s) { return s.last().ratio(); }},
      {"stored", [](const ActivationSeries& s) { return s.last().stored_bytes; }},
      {"sigma", [](const ActivationSeries& s) { return s.LastAudit().quotient(); }},
      {"time", [](const ActivationSeries& s) { return s.last().microseconds(); }}};
  const auto& by = keys.at(key);
  std::stable_sort(
      series->begin(), series->end(),
      [&](const ActivationSeries& a, const ActivationSeries& b) { return Greater(by(a), by(b)); });
}

std::string OverviewText(const std::vector<ActivationSeries>& series, int width) {
  Table table;
  table.AddColumn("layer", Table::Align::LEFT);
  table.AddColumn("kind", Table::Align::LEFT);
  table.AddColumn("ratio, time", Table::Align::LEFT);
  AddEntryColumns(&table);
  AddAuditColumns(&table);
  Sum total, small;
  for (const ActivationSeries& s : series) total += s.last();
  for (const ActivationSeries& s : series) {
    if (s.last().raw_bytes < kSmall * total.entry.raw_bytes) {
      small += s.last();
      continue;
    }
    Cells row = {s.layer, s.kind, Sparkline(Over(s, RatioOf), kSparkWidth)};
    Append(EntryCells(s.last()), &row);
    Append(AuditCells(s.LastAudit()), &row);
    table.AddRow(row);
  }
  if (small.count > 0) table.AddRow(SumRow(StrCat(small.count, " small ones"), small));
  table.AddRule();
  table.AddRow(SumRow("total", total));
  return table.ToString(width);
}

std::string HistoryText(const ActivationSeries& series, int width) {
  const auto bound = [](const ActivationEntry& e) { return e.error_bound; };
  const auto nonzero = [](const ActivationEntry& e) { return e.nonzero_fraction; };
  std::string text =
      StrCat(series.layer, ": ", series.kind, ", ", series.shape, ", codec ", Codecs(series), "\n",
             "ratio    ", Sparkline(Over(series, RatioOf), width), "\n");
  text += StrCat("bound    ", Sparkline(Over(series, bound), width), "\n");
  text += StrCat("nonzero  ", Sparkline(Over(series, nonzero), width), "\n\n");
  text += EntryTable(series);
  if (!series.audits.empty()) text += "\n" + AuditTable(series.audits);
  return text;
}

std::string AuditText(const std::vector<ActivationSeries>& series, int width) {
  const std::vector<AuditEntry> audits = NewestAudits(series);
  if (audits.empty()) {
    throw Error(
        ErrorKind::DATA, "no audit is in the log", "",
        "train with --set activations.audit_every=50, or audit_at=ITERATION for all layers");
  }
  const auto inside = std::count_if(audits.begin(), audits.end(), [](const AuditEntry& audit) {
    return audit.quotient() >= kInsideFrom && audit.quotient() <= kInsideTo;
  });
  const double share = static_cast<double>(inside) / static_cast<double>(audits.size());
  return StrCat(AuditTable(audits, width), "measured / predicted inside [0.8, 1.25]: ", inside,
                " of ", audits.size(), " layers (", FormatFixed(100 * share, 0), "%)\n");
}

std::string CsvText(const std::vector<ActivationSeries>& series) {
  std::string text =
      "iteration,layer,value,kind,shape,codec,consumer,raw_bytes,stored_bytes,ratio,error_bound,"
      "nonzero_fraction,tolerance,encode_us,decode_us,predicted_sigma,measured_sigma,bias,"
      "max_abs_error,error_over_bound\n";
  for (const ActivationSeries& s : series) {
    const std::string value = std::to_string(s.value);
    for (const ActivationEntry& e : s.entries) {
      text += CsvLine(
          {std::to_string(e.iteration), s.layer, value, s.kind, s.shape, e.codec, ""},
          {e.raw_bytes, e.stored_bytes, e.ratio(), e.error_bound, e.nonzero_fraction, e.tolerance,
           e.encode_us, e.decode_us, e.predicted_sigma, kUnknown, kUnknown, kUnknown, kUnknown});
    }
    for (const AuditEntry& a : s.audits) {
      text += CsvLine(
          {std::to_string(a.iteration), s.layer, value, "audit", s.shape, CodecIn(s, a.iteration),
           a.consumer},
          {kUnknown, kUnknown, kUnknown, kUnknown, kUnknown, kUnknown, kUnknown, kUnknown,
           a.predicted_sigma, a.measured_sigma, a.bias, a.max_abs_error, a.error_over_bound});
    }
  }
  return text;
}

}  // namespace encke::cli
