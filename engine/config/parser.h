// Text of one config file -> message, and where each field of it was given.
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <map>
#include <string>
#include <vector>

#include "engine/config/diagnostics.h"
#include "models/encke.pb.h"

namespace encke {

// By field path: "training.batch", "network.step[3].conv".
using SourceMap = std::map<std::string, ConfigSource>;

// Forgets the fields whose paths begin with `prefix`.
void EraseSources(const std::string& prefix, SourceMap* sources);

struct ParsedConfig {
  config::Config config;
  SourceMap sources;
};

// Parses `text`; `file` is the name for messages. Error(CONFIG) lists every mistake.
ParsedConfig ParseConfigText(const std::string& text, const std::string& file);

// Finds every mistake in a text that does not parse as `root`: unknown fields and enum values,
// wrong types, fields given twice, brackets that do not match.
void DiagnoseText(const std::string& text, const SourceLines& lines,
                  const google::protobuf::Descriptor& root, Diagnostics* diagnostics);

// Parses one value of `field` as it stands in a config and puts it into `message` (appends, if the
// field is repeated). Returns "" or what is wrong with it, nearest legal name included.
// REQUIRES: the field is not a message.
std::string ParseScalar(const std::string& value, const google::protobuf::FieldDescriptor& field,
                        google::protobuf::Message* message);

// That a message has no field of that name, with the nearest one, or else all that it has.
std::string UnknownField(const google::protobuf::Descriptor& message, const std::string& name);

}  // namespace encke
