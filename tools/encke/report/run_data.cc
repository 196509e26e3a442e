#include "tools/encke/report/run_data.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "engine/core/error.h"
#include "engine/core/units.h"
#include "tools/encke/report/config_text.h"
#include "tools/encke/report/csv.h"

namespace encke::cli::report {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::string Slurp(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

double NumberOf(const json& line, const char* field) {
  const auto found = line.find(field);
  return found != line.end() && found->is_number() ? found->get<double>() : kUnknown;
}

// Calls `use` with each line; one for which it throws is left out with a warning.
void ForEachLine(const fs::path& path, std::vector<std::string>* warnings,
                 const std::function<void(const std::string&)>& use) {
  std::ifstream in(path);
  int64_t number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    if (line.empty()) continue;
    try {
      use(line);
    } catch (const std::exception&) {
      warnings->push_back(StrCat(path.string(), ":", number, ": damaged line left out"));
    }
  }
}

EvaluationPoint ParseEvaluation(const json& line) {
  EvaluationPoint point;
  point.iteration = line.at("iteration").get<int64_t>();
  point.loss = NumberOf(line, "eval_loss");
  point.top1 = NumberOf(line, "eval_top1");
  return point;
}

MetricPoint ParseMetric(const json& line) {
  MetricPoint point;
  point.iteration = line.at("iteration").get<int64_t>();
  point.epoch = NumberOf(line, "epoch");
  point.loss = NumberOf(line, "loss");
  point.top1 = NumberOf(line, "top1");
  point.images_per_second = NumberOf(line, "images_per_second");
  point.raw_bytes = NumberOf(line, "raw_bytes");
  point.stored_bytes = NumberOf(line, "stored_bytes");
  point.ratio = NumberOf(line, "ratio");
  point.resident_peak = NumberOf(line, "resident_peak");
  const auto peak = line.find("memory_peak");
  if (peak != line.end()) point.peak_bytes = NumberOf(*peak, "total");
  return point;
}

void ReadMetrics(RunData* run) {
  ForEachLine(fs::path(run->path) / "metrics.jsonl", &run->warnings, [&](const std::string& text) {
    const json line = json::parse(text);
    if (line.contains("eval_loss")) {
      run->evaluations.push_back(ParseEvaluation(line));
    } else {
      run->metrics.push_back(ParseMetric(line));
    }
  });
}

// Fields by the names that the header gives them.
MemoryPoint ParseMemory(const std::map<std::string, std::string>& row) {
  MemoryPoint point;
  point.action = row.at("action");
  point.layer = row.at("layer");
  for (int c = 0; c < kMemoryCategories; ++c) {
    point.bytes[c] = std::stod(row.at(NameOf(static_cast<MemoryCategory>(c))));
  }
  point.total = std::stod(row.at("total"));
  point.in_use = std::stod(row.at("in_use"));
  point.predicted_in_use = std::stod(row.at("predicted_in_use"));
  return point;
}

void ReadMemory(RunData* run) {
  std::vector<std::string> header;
  ForEachLine(fs::path(run->path) / "memory.csv", &run->warnings, [&](const std::string& line) {
    const std::vector<std::string> fields = SplitCsv(line);
    if (header.empty()) {
      header = fields;
      return;
    }
    std::map<std::string, std::string> row;
    for (size_t i = 0; i < header.size(); ++i) row[header[i]] = fields.at(i);
    run->memory.push_back(ParseMemory(row));
    run->memory_iteration = std::stoll(row.at("iteration"));
  });
}

void ReadActivations(RunData* run) {
  const fs::path path = fs::path(run->path) / "activations.jsonl";
  std::error_code ignored;
  if (fs::file_size(path, ignored) == 0 || ignored) return;
  try {
    ActivationLog log = ReadActivationLog(path.string());
    run->activations = std::move(log.series);
    run->warnings.insert(run->warnings.end(), log.warnings.begin(), log.warnings.end());
  } catch (const Error& error) {
    run->warnings.push_back(error.what());
  }
}

std::string ValueText(const std::string& key, const json& value) {
  if (key == "memory_bytes") return FormatBytes(value.get<int64_t>());
  return value.is_string() ? value.get<std::string>() : value.dump();
}

void ReadEnvironment(RunData* run) {
  const fs::path path = fs::path(run->path) / "environment.jsonl";
  ForEachLine(path, &run->warnings, [&](const std::string& text) {
    std::vector<std::pair<std::string, std::string>> environment;
    const auto line = nlohmann::ordered_json::parse(text);
    for (const auto& [key, value] : line.items()) {
      environment.emplace_back(key == "memory_bytes" ? "memory" : key, ValueText(key, value));
    }
    run->environment = environment;
  });
}

// The mode and, of the activations' settings, those that differ.
std::string LabelOf(const FlatConfig& config, const std::set<std::string>& differing) {
  const auto found = config.find("activations.mode");
  if (found != config.end() && found->second == "RAW") return "raw";
  std::string label = "encke";
  for (const std::string& key : differing) {
    const bool is_setting = key.rfind("activations.", 0) == 0 && key != "activations.mode" &&
                            key.find("audit") == std::string::npos &&
                            key != "activations.log_every";
    const auto own = config.find(key);
    if (!is_setting || own == config.end()) continue;
    const std::string name = key.substr(key.rfind('.') + 1);
    label += name == "codec" ? " " + own->second : StrCat(" ", name, " ", own->second);
  }
  return label;
}

std::string FolderName(const RunData& run) {
  const fs::path path = fs::path(run.path).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

}  // namespace

bool RunData::compresses() const {
  return std::any_of(activations.begin(), activations.end(), [](const ActivationSeries& series) {
    return series.last().stored_bytes < series.last().raw_bytes;
  });
}

RunData ReadRun(const std::string& path) {
  RunData run;
  run.path = path;
  const fs::path config = fs::path(path) / "config.textproto";
  if (!fs::exists(config)) {
    throw Error(ErrorKind::DATA, "this is not the directory of a run: it has no config.textproto",
                path, "name a run directory that `encke train` has written");
  }
  run.config = Slurp(config);
  ReadMetrics(&run);
  ReadMemory(&run);
  ReadActivations(&run);
  ReadEnvironment(&run);
  return run;
}

void LabelRuns(std::vector<RunData>* runs) {
  std::vector<FlatConfig> configs;
  for (const RunData& run : *runs) configs.push_back(Flatten(run.config));
  const std::vector<std::string> keys = DifferingKeys(configs);
  std::map<std::string, int> count;
  for (size_t i = 0; i < runs->size(); ++i) {
    RunData& run = (*runs)[i];
    run.label = runs->size() == 1
                    ? FolderName(run)
                    : LabelOf(configs[i], std::set<std::string>(keys.begin(), keys.end()));
    ++count[run.label];
  }
  std::map<std::string, int> seen;
  for (RunData& run : *runs) {
    if (count[run.label] > 1) run.label += StrCat(" #", ++seen[run.label]);
  }
}

}  // namespace encke::cli::report
