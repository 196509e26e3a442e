#include "tools/encke/report/stages.h"

namespace encke::cli::report {
namespace {

std::string Before(const std::string& layer) {
  const size_t dot = layer.find('.');
  return dot == std::string::npos ? "" : layer.substr(0, dot);
}

}  // namespace

std::vector<Stage> StagesOf(const std::vector<std::string>& layers) {
  std::vector<Stage> stages;
  std::string open = "?";  // no layer's prefix
  for (size_t i = 0; i < layers.size(); ++i) {
    const std::string prefix = Before(layers[i]);
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
