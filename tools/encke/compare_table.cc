#include "tools/encke/compare_table.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <sstream>

#include "engine/core/error.h"
#include "engine/core/memory.h"
#include "engine/core/units.h"
#include "models/encke.pb.h"
#include "tools/encke/format.h"
#include "tools/encke/table.h"

namespace encke::cli {
namespace {

using nlohmann::ordered_json;

// The number at a path like "peak_bytes/total"; NaN where there is none.
double Number(const ordered_json& mode, const std::string& path) {
  const auto pointer = ordered_json::json_pointer("/" + path);
  if (!mode.contains(pointer) || !mode.at(pointer).is_number()) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  return mode.at(pointer).get<double>();
}

std::string Bytes(double value) {
  return value >= 0 ? FormatBytes(static_cast<int64_t>(value)) : "-";
}

std::string LessOrMore(double value, double reference) {
  if (!(value > 0) || !(reference > 0)) return "";
  const bool less = value <= reference;
  const std::string factor = FormatRatio(less ? reference / value : value / reference);
  if (factor == "1.00x") return "same";
  return factor + (less ? " less" : " more");
}

std::string Times(double value, double reference) {
  return reference > 0 ? FormatRatio(value / reference) : "";
}

using Format = std::function<std::string(double)>;
using Relation = std::function<std::string(double, double)>;

Format Fixed(int decimals, const std::string& unit = "") {
  return [decimals, unit](double value) {
    const std::string text = FormatFixed(value, decimals);
    return text == "-" ? text : text + unit;
  };
}

Relation Difference(int decimals) {
  return [decimals](double value, double reference) {
    return FormatSigned(value - reference, decimals);
  };
}

// Settings of `activations` need not say so.
std::string FullPath(const std::string& setting) {
  const std::string field = setting.substr(0, setting.find_first_of(".="));
  const bool is_path = setting.substr(0, setting.find('=')).find('.') != std::string::npos;
  const bool is_activations = config::Activations::descriptor()->FindFieldByName(field) != nullptr;
  return is_path && !is_activations ? setting : "activations." + setting;
}

// A metric: where it is in the JSON and how it is shown.
struct Row {
  std::string label, path;
  Format format;
  Relation relation;
};

std::vector<Row> Rows(const std::string& memory_limit) {
  std::vector<Row> rows = {{"peak memory", "peak_bytes/total", Bytes, LessOrMore}};
  for (int i = 0; i < kMemoryCategories; ++i) {
    const std::string category = NameOf(static_cast<MemoryCategory>(i));
    rows.push_back({"  " + category, "peak_bytes/" + category, Bytes, LessOrMore});
  }
  rows.push_back({"resident peak", "resident_peak_bytes", Bytes, LessOrMore});
  rows.push_back({"saved, uncompressed", "raw_saved_bytes", Bytes, nullptr});
  rows.push_back({"saved, stored", "stored_bytes", Bytes, LessOrMore});
  rows.push_back({"  offloaded", "offloaded_bytes", Bytes, nullptr});
  rows.push_back({"ratio", "ratio", FormatRatio, nullptr});
  rows.push_back({"images per second", "images_per_second", Fixed(1), Times});
  rows.push_back({"training loss", "loss", Fixed(4), Difference(4)});
  rows.push_back({"test loss", "test_loss", Fixed(4), Difference(4)});
  rows.push_back({"accuracy", "accuracy", Fixed(2, "%"), Difference(2)});
  if (!memory_limit.empty()) {
    rows.push_back({"largest batch in " + memory_limit, "largest_batch", Fixed(0), Times});
  }
  return rows;
}

bool IsEmpty(const Row& row, const std::vector<ordered_json>& modes) {
  return std::all_of(modes.begin(), modes.end(), [&](const ordered_json& mode) {
    const double value = Number(mode, row.path);
    const bool is_part = row.label[0] == ' ';  // of the row above
    return !(value == value) || (is_part && value == 0);
  });
}

}  // namespace

ModeSpec ParseMode(const std::string& text) {
  std::istringstream in(text);
  std::string part;
  std::getline(in, part, ':');
  const bool is_raw = part == "raw", is_encke = part == "encke";
  const std::string hint = "a mode is raw or encke, with settings like encke:tolerance=0.1";
  if (!is_raw && !is_encke) {
    throw Error(ErrorKind::USAGE, "there is no mode '" + part + "'", "", hint);
  }
  ModeSpec mode;
  mode.name = text;
  mode.overrides.push_back(is_raw ? "activations.mode=RAW" : "activations.mode=ENCKE");
  while (std::getline(in, part, ':')) {
    const size_t equals = part.find('=');
    if (equals == std::string::npos || equals == 0) {
      throw Error(ErrorKind::USAGE, "'" + part + "' of mode '" + text + "' is no setting", "",
                  hint);
    }
    mode.overrides.push_back(FullPath(part));
  }
  return mode;
}

std::string CompareTable(const std::vector<std::string>& names,
                         const std::vector<ordered_json>& modes, const std::string& memory_limit) {
  const auto raw = std::find(names.begin(), names.end(), "raw");
  const size_t reference =
      raw == names.end() ? 0 : static_cast<size_t>(std::distance(names.begin(), raw));
  Table table;
  table.AddColumn("", Table::Align::LEFT);
  for (size_t i = 0; i < names.size(); ++i) {
    table.AddColumn(names[i]);
    if (i != reference) table.AddColumn("vs " + names[reference], Table::Align::LEFT);
  }
  for (const Row& row : Rows(memory_limit)) {
    if (IsEmpty(row, modes)) continue;
    const double base = Number(modes[reference], row.path);
    std::vector<std::string> cells = {row.label};
    for (size_t i = 0; i < modes.size(); ++i) {
      const double value = Number(modes[i], row.path);
      cells.push_back(row.format(value));
      if (i != reference) cells.push_back(row.relation ? row.relation(value, base) : "");
    }
    table.AddRow(cells);
  }
  return table.ToString();
}

}  // namespace encke::cli
