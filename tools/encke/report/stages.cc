#include "tools/encke/report/stages.h"

#include <set>

namespace encke::cli::report {
namespace {

// What stands before dot number `dots`; all of a name with fewer, but "" for one without any.
std::string Before(const std::string& layer, int dots) {
  size_t at = layer.find('.');
  if (at == std::string::npos) return "";
  for (int i = 1; i < dots && at != std::string::npos; ++i) at = layer.find('.', at + 1);
  return layer.substr(0, at);
}

// Two parts of the names where one would put all layers into a single stage.
int DotsThatTellApart(const std::vector<std::string>& layers) {
  std::set<std::string> prefixes;
  for (const std::string& layer : layers) prefixes.insert(Before(layer, 1));
  prefixes.erase("");
  return prefixes.size() == 1 ? 2 : 1;
}

}  // namespace

std::vector<Stage> StagesOf(const std::vector<std::string>& layers) {
  const int dots = DotsThatTellApart(layers);
  std::vector<Stage> stages;
  std::string open = "?";  // no layer's prefix
  for (size_t i = 0; i < layers.size(); ++i) {
    const std::string prefix = Before(layers[i], dots);
    if (stages.empty() || prefix != open) {
      stages.push_back({prefix.empty() ? layers[i] : prefix, i, i});
      open = prefix;
    } else {
      stages.back().last = i;
    }
  }
  return stages;
}

}  // namespace encke::cli::report
