#include "engine/config/config.h"

#include <google/protobuf/text_format.h>

#include "engine/config/merge.h"
#include "engine/config/network_builder.h"
#include "engine/config/override.h"
#include "engine/config/recipe_check.h"

namespace encke {

ConfigFile ConfigFile::Load(const std::string& path, const std::vector<std::string>& overrides) {
  return Parse(ReadConfigText(path, {}), path, overrides);
}

ConfigFile ConfigFile::Parse(const std::string& text, const std::string& name,
                             const std::vector<std::string>& overrides) {
  ParsedConfig parsed = ParseWithBases(text, name);
  Diagnostics diagnostics;
  for (const std::string& override_text : overrides) {
    ApplyOverride(override_text, &parsed, &diagnostics);
  }
  diagnostics.Throw();
  ConfigFile file;
  file.name_ = name;
  file.config_ = std::move(parsed.config);
  file.sources_ = std::move(parsed.sources);
  return file;
}

std::string ConfigFile::ToText() const {
  std::string text;
  google::protobuf::TextFormat::PrintToString(config_, &text);
  return text;
}

std::string ConfigFile::Place(const std::string& field) const {
  const auto found = sources_.find(field);
  return found == sources_.end() ? "" : found->second.Place();
}

ConfigSource ConfigFile::SourceOf(const std::string& field) const {
  std::string path = field;
  while (true) {
    for (const std::string& name : {path, path + "[0]"}) {
      const auto found = sources_.find(name);
      if (found != sources_.end()) return found->second;
    }
    const size_t end = path.find_last_of(".[");
    if (end == std::string::npos) return {name_, 0, 0, ""};
    path.resize(end);
  }
}

Error ConfigFile::ErrorAt(const std::string& field, const std::string& message,
                          const std::string& hint) const {
  const ConfigSource source = SourceOf(field);
  return Error(ErrorKind::CONFIG, message + source.Excerpt(), source.Place(), hint);
}

Graph BuildNetwork(const ConfigFile& file) {
  Diagnostics diagnostics;
  CheckRecipe(file, &diagnostics);
  std::optional<Graph> graph = BuildNetwork(file, &diagnostics);
  diagnostics.Throw();
  return std::move(*graph);
}

}  // namespace encke
