// Where the figures come from: configuration, environment, and what could not be read.
#include <algorithm>

#include "engine/core/error.h"
#include "tools/encke/report/config_text.h"
#include "tools/encke/report/sections.h"
#include "tools/encke/report/svg.h"

namespace encke::cli::report {
namespace {

std::string ValueCell(const FlatConfig& config, const std::string& key) {
  const auto found = config.find(key);
  return StrCat("<td>", found == config.end() ? "<small>default</small>" : Escape(found->second),
                "</td>");
}

std::string Differences(const Runs& runs) {
  if (runs.size() < 2) return "";
  std::vector<FlatConfig> configs;
  for (const RunData& run : runs) configs.push_back(Flatten(run.config));
  const std::vector<std::string> keys = DifferingKeys(configs);
  if (keys.empty()) return Missing("The configurations of the runs are the same.");
  std::string html =
      "<h3>What differs</h3><div class=\"scroll\"><table class=\"figures\"><thead><tr><th>"
      "Setting</th>";
  for (size_t r = 0; r < runs.size(); ++r)
    html += StrCat("<th>", Swatch(r), Escape(runs[r].label), "</th>");
  html += "</tr></thead>\n";
  for (const std::string& key : keys) {
    html += StrCat("<tr><th scope=\"row\"><code>", Escape(key), "</code></th>");
    for (const FlatConfig& config : configs) html += ValueCell(config, key);
    html += "</tr>\n";
  }
  return html + "</table></div>\n";
}

std::string Environment(const RunData& run) {
  if (run.environment.empty()) {
    return Missing("The environment was not recorded: environment.jsonl is missing.");
  }
  std::string html = "<dl>";
  for (const auto& [key, value] : run.environment) {
    const bool is_command = key == "command";
    html += StrCat("<dt>", Escape(key), "</dt><dd>", is_command ? "<code>" : "", Escape(value),
                   is_command ? "</code>" : "", "</dd>");
  }
  return html + StrCat("<dt>directory</dt><dd><code>", Escape(run.path), "</code></dd></dl>\n");
}

std::string Warnings(const RunData& run) {
  if (run.warnings.empty()) return "";
  std::string html = "<ul class=\"warnings\">";
  for (const std::string& warning : run.warnings) html += StrCat("<li>", Escape(warning), "</li>");
  return html + "</ul>\n";
}

}  // namespace

std::string ProvenanceSection(const Runs& runs) {
  std::string content = Differences(runs);
  for (size_t r = 0; r < runs.size(); ++r) {
    content += StrCat("<h3>", Swatch(r), Escape(runs[r].label), "</h3>\n", Environment(runs[r]),
                      Warnings(runs[r]), "<details><summary>config.textproto</summary><pre>",
                      Escape(runs[r].config), "</pre></details>\n");
  }
  return Section("provenance", "Configuration and environment", "", content);
}

}  // namespace encke::cli::report
