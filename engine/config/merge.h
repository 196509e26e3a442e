// Laying one config over another, and following `base`.
#pragma once

#include <string>
#include <vector>

#include "engine/config/parser.h"

namespace encke {

// Lays `child` over `base`: messages merge field by field, a repeated field of the child replaces
// the base's.
void MergeMessage(const google::protobuf::Message& child, google::protobuf::Message* base);
void MergeConfig(const ParsedConfig& child, ParsedConfig* base);

// Reads a file. Error(CONFIG) if it is not there, with the nearest name in its folder.
std::string ReadConfigText(const std::string& path, const ConfigSource& wanted_by);

// Parses `text`, which is that of `path`, and lays it over its bases, which are looked for relative
// to `path`'s folder. `base` is empty in the result. `open`: the files being read, to find cycles.
ParsedConfig ParseWithBases(const std::string& text, const std::string& path,
                            std::vector<std::string> open = {});

}  // namespace encke
