#include "tools/encke/activation_log.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"

namespace encke::cli {
namespace {

using nlohmann::json;

constexpr size_t kMostWarnings = 10;

double NumberOr(const json& line, const char* field, double otherwise) {
  const auto found = line.find(field);
  if (found == line.end() || !found->is_number()) return otherwise;
  const double value = found->get<double>();
  return value < 0 ? otherwise : value;  // negative: does not apply
}

std::string TextOf(const json& line, const char* field) {
  const auto found = line.find(field);
  if (found == line.end() || found->is_null()) return "";
  if (found->is_string()) return found->get<std::string>();
  std::string text;  // a shape as numbers
  for (const json& part : *found) text += (text.empty() ? "" : "x") + part.dump();
  return text;
}

// Throws json::exception where a field that every line has is missing or of another type.
ActivationEntry ParseEntry(const json& line) {
  ActivationEntry entry;
  entry.codec = TextOf(line, "codec");
  entry.iteration = line.at("iteration").get<int64_t>();
  entry.raw_bytes = line.at("raw_bytes").get<double>();
  entry.stored_bytes = line.at("stored_bytes").get<double>();
  entry.error_bound = NumberOr(line, "error_bound", kUnknown);
  entry.nonzero_fraction = NumberOr(line, "nonzero_fraction", kUnknown);
  entry.predicted_sigma = NumberOr(line, "predicted_sigma", kUnknown);
  entry.tolerance = NumberOr(line, "tolerance", kUnknown);
  entry.encode_us = NumberOr(line, "encode_us", kUnknown);
  entry.decode_us = NumberOr(line, "decode_us", kUnknown);
  return entry;
}

AuditEntry ParseAudit(const json& line) {
  AuditEntry audit;
  audit.iteration = line.at("iteration").get<int64_t>();
  audit.consumer = TextOf(line, "consumer");
  audit.predicted_sigma = NumberOr(line, "predicted_sigma", kUnknown);
  audit.measured_sigma = NumberOr(line, "measured_sigma", kUnknown);
  audit.correction = NumberOr(line, "correction", kUnknown);
  const auto bias = line.find("bias");  // may be negative
  if (bias != line.end() && bias->is_number()) audit.bias = bias->get<double>();
  audit.max_abs_error = NumberOr(line, "max_abs_error", kUnknown);
  audit.error_over_bound = NumberOr(line, "error_over_bound", kUnknown);
  return audit;
}

class Reader {
 public:
  explicit Reader(int64_t until) : until_(until) {}

  void Add(const std::string& text, int64_t number) {
    try {
      const json line = json::parse(text);
      const ActivationEntry entry = ParseEntry(line);
      if (until_ > 0 && entry.iteration > until_) return;
      const bool is_audit = TextOf(line, "kind") == "audit";
      if (!is_audit) SeriesOf(line).entries.push_back(entry);
      if (is_audit || line.contains("measured_sigma")) {
        audits_.push_back({line.at("layer").get<std::string>(), ValueOf(line), ParseAudit(line)});
      }
    } catch (const json::exception&) {
      damaged_.push_back(number);
    }
  }

  ActivationLog Finish(const std::string& path) {
    for (const FoundAudit& found : audits_) Attach(found);
    for (size_t i = 0; i < std::min(damaged_.size(), kMostWarnings); ++i) {
      log_.warnings.push_back(StrCat(path, ":", damaged_[i], ": damaged line left out"));
    }
    if (damaged_.size() > kMostWarnings) {
      log_.warnings.push_back(
          StrCat(path, ": ", damaged_.size() - kMostWarnings, " more damaged lines left out"));
    }
    return std::move(log_);
  }

 private:
  struct FoundAudit {
    std::string layer;
    int64_t value;
    AuditEntry audit;
  };

  static int64_t ValueOf(const json& line) {
    return static_cast<int64_t>(NumberOr(line, "value", 0));
  }

  // Audits belong to the first series of their value.
  void Attach(const FoundAudit& found) {
    const auto series =
        std::find_if(log_.series.begin(), log_.series.end(), [&](const ActivationSeries& s) {
          return s.layer == found.layer && s.value == found.value;
        });
    if (series != log_.series.end()) series->audits.push_back(found.audit);
  }

  ActivationSeries& SeriesOf(const json& line) {
    const std::string layer = line.at("layer").get<std::string>();
    const int64_t value = ValueOf(line);
    const std::string kind = TextOf(line, "kind");
    const auto [found, is_new] =
        index_.emplace(std::make_tuple(layer, value, kind), log_.series.size());
    if (is_new) {
      log_.series.emplace_back();
      log_.series.back().layer = layer;
      log_.series.back().kind = kind;
      log_.series.back().value = value;
    }
    ActivationSeries& series = log_.series[found->second];
    series.shape = TextOf(line, "shape");
    return series;
  }

  int64_t until_;
  ActivationLog log_;
  std::map<std::tuple<std::string, int64_t, std::string>, size_t> index_;
  std::vector<FoundAudit> audits_;
  std::vector<int64_t> damaged_;
};

}  // namespace

AuditEntry ActivationSeries::LastAudit() const {
  AuditEntry worst;
  worst.predicted_sigma = last().predicted_sigma;
  for (const AuditEntry& audit : audits) {
    const bool is_newer = audit.iteration > worst.iteration;
    const bool is_worse = std::isnan(worst.quotient()) || audit.quotient() > worst.quotient();
    if (is_newer || (audit.iteration == worst.iteration && is_worse)) {
      worst = audit;
    }
  }
  return worst;
}

ActivationLog ReadActivationLog(const std::string& run, int64_t until) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const std::string path =
      fs::is_directory(run, ignored) ? (fs::path(run) / "activations.jsonl").string() : run;
  std::ifstream in(path);
  if (!in) {
    throw Error(ErrorKind::DATA, "cannot read the log of saved values", path,
                "name a run directory that `encke train` has written");
  }
  Reader reader(until);
  int64_t number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    if (!line.empty()) reader.Add(line, number);
  }
  ActivationLog log = reader.Finish(path);
  if (log.series.empty()) {
    throw Error(
        ErrorKind::DATA,
        until > 0 ? StrCat("there is no entry up to iteration ", until) : "there is no entry in it",
        path, "see activations.log_every in the config");
  }
  return log;
}

}  // namespace encke::cli
