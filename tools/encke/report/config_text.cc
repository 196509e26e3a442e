#include "tools/encke/report/config_text.h"

#include <algorithm>
#include <set>
#include <sstream>

#include "engine/core/error.h"

namespace encke::cli::report {
namespace {

std::string Trimmed(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

std::string Unquoted(const std::string& text) {
  const bool quoted = text.size() >= 2 && text.front() == '"' && text.back() == '"';
  return quoted ? text.substr(1, text.size() - 2) : text;
}

}  // namespace

FlatConfig Flatten(const std::string& text) {
  FlatConfig flat;
  std::map<std::string, int> seen;
  const auto numbered = [&](const std::string& path) {
    const int number = ++seen[path];
    return number > 1 ? StrCat(path, "[", number, "]") : path;
  };
  std::vector<std::string> stack = {""};
  std::istringstream in(text);
  for (std::string raw; std::getline(in, raw);) {
    const std::string line = Trimmed(raw);
    const size_t colon = line.find(':');
    if (line == "}") {
      if (stack.size() > 1) stack.pop_back();
    } else if (!line.empty() && line.back() == '{') {
      stack.push_back(numbered(stack.back() + Trimmed(line.substr(0, line.size() - 1))) + ".");
    } else if (colon != std::string::npos) {
      const std::string key = numbered(stack.back() + line.substr(0, colon));
      flat[key] = Unquoted(Trimmed(line.substr(colon + 1)));
    }
  }
  return flat;
}

std::vector<std::string> DifferingKeys(const std::vector<FlatConfig>& configs) {
  std::set<std::string> keys;
  for (const FlatConfig& config : configs) {
    for (const auto& [key, value] : config) keys.insert(key);
  }
  keys.erase("training.output");
  std::vector<std::string> differing;
  for (const std::string& key : keys) {
    const auto value_in = [&](const FlatConfig& config) {
      const auto found = config.find(key);
      return found == config.end() ? std::string() : "=" + found->second;
    };
    const bool same = std::all_of(configs.begin(), configs.end(), [&](const FlatConfig& config) {
      return value_in(config) == value_in(configs.front());
    });
    if (!same) differing.push_back(key);
  }
  return differing;
}

}  // namespace encke::cli::report
