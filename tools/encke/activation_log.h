// Reading a run's activations.jsonl: what was stored of each value, iteration by iteration.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace encke::cli {

inline constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

// One value in one iteration. What the line does not say is kUnknown.
struct ActivationEntry {
  int64_t iteration = 0;
  std::string codec;  // may change from one to the next
  double raw_bytes = 0, stored_bytes = 0;
  double error_bound = kUnknown;
  double nonzero_fraction = kUnknown;
  double predicted_sigma = kUnknown;
  double tolerance = kUnknown;
  double encode_us = kUnknown, decode_us = kUnknown;

  double ratio() const { return stored_bytes > 0 ? raw_bytes / stored_bytes : kUnknown; }
  double microseconds() const { return encode_us + decode_us; }
};

// What an audit measured: the noise that the value's error adds to one layer's weight gradient.
struct AuditEntry {
  int64_t iteration = 0;
  std::string consumer;  // the layer whose weight gradient was compared
  double predicted_sigma = kUnknown, measured_sigma = kUnknown;
  double correction = kUnknown;  // factor in the predicted one that probes have taught
  double bias = kUnknown, max_abs_error = kUnknown, error_over_bound = kUnknown;

  double quotient() const { return measured_sigma / predicted_sigma; }
};

// One saved value over time, oldest entry first.
struct ActivationSeries {
  std::string layer;
  std::string kind;  // "relu", "norm_input", ... where the log says it
  int64_t value = 0;
  std::string shape;
  std::vector<ActivationEntry> entries;
  std::vector<AuditEntry> audits;

  const ActivationEntry& last() const { return entries.back(); }
  // Of the newest audited iteration, the one that came out worst; without audits all is kUnknown
  // but the last prediction.
  AuditEntry LastAudit() const;
};

struct ActivationLog {
  std::vector<ActivationSeries> series;  // in the order of their first appearance
  std::vector<std::string> warnings;     // damaged lines that were left out, by number
};

// `run` is a run directory or the file itself. Entries after iteration `until` are left out (0 =
// none). A damaged line is skipped with a warning; Error(DATA) when the file is missing or holds no
// entry at all.
ActivationLog ReadActivationLog(const std::string& run, int64_t until = 0);

}  // namespace encke::cli
