// Configs as flat lists of settings, to show what differs between runs.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace encke::cli::report {

// "training.batch" -> "64". Repeated fields and messages are numbered from the second on:
// "network.step[2].name". Quotes around texts are left out.
using FlatConfig = std::map<std::string, std::string>;

// `text` is protobuf's text format with a field or brace on each line, as runs write it; other
// lines are passed over.
FlatConfig Flatten(const std::string& text);

// Keys whose values are not the same in all configs, missing ones included; not the output folder.
std::vector<std::string> DifferingKeys(const std::vector<FlatConfig>& configs);

}  // namespace encke::cli::report
