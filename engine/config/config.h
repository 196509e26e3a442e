// Config files: reading, merging, overriding and checking, with errors that point at the place in
// the file.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/config/diagnostics.h"
#include "engine/core/error.h"
#include "engine/graph/graph.h"
#include "models/encke.pb.h"

namespace encke {

// A merged config and where each of its fields came from.
class ConfigFile {
 public:
  // Reads `path`, its bases, and applies `overrides` ("training.batch=32", "data.train=/tmp/x").
  // Error(CONFIG) lists every mistake found, each with file:line:col, the source line, a caret and
  // the nearest legal name.
  static ConfigFile Load(const std::string& path, const std::vector<std::string>& overrides = {});
  // The same from text, for tests and for a run's own config.textproto.
  static ConfigFile Parse(const std::string& text, const std::string& name,
                          const std::vector<std::string>& overrides = {});

  const config::Config& config() const { return config_; }
  // The merged config as text, loadable by itself (no bases).
  std::string ToText() const;

  // "file:line:col" of a field named by its path ("training.batch", "network.step[3].conv"), or ""
  // if it was not given.
  std::string Place(const std::string& field) const;
  // Where the field was given (a list: its first element); if it was not, the nearest group around
  // it that was, or else the file.
  ConfigSource SourceOf(const std::string& field) const;
  // An error at a field, with source line and caret where the place is known.
  Error ErrorAt(const std::string& field, const std::string& message,
                const std::string& hint = "") const;

 private:
  std::string name_;
  config::Config config_;
  std::map<std::string, ConfigSource> sources_;  // by field path
};

// Checks values that the schema cannot (ranges, combinations) and builds the network. Reports all
// errors it can find. `overrides`: input size and classes as the data has them come from the config
// too.
Graph BuildNetwork(const ConfigFile& file);

}  // namespace encke
