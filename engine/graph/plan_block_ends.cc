// Ends of residual blocks, of which one tensor is kept in place of two.
#include <optional>

#include "engine/graph/plan_internal.h"

namespace encke::internal {
namespace {

bool IsType(const Graph& graph, int node, const char* type) {
  return node >= 0 && graph.nodes[node].layer->type() == type;
}

// With side `side` of the sum as the batch norm's, if it is one.
std::optional<BlockEnd> WithNorm(const Graph& graph, BlockEnd end, size_t side) {
  const std::vector<int>& sides = graph.nodes[end.add].inputs;
  end.norm = graph.values[sides[side]].producer;
  if (!IsType(graph, end.norm, "batch_norm") || !OnlyReader(graph, sides[side], end.add)) return {};
  end.input = CanonicalValue(graph, graph.nodes[end.norm].inputs[0]);
  end.shortcut = CanonicalValue(graph, sides[1 - side]);
  if (!OnlyReader(graph, end.input, end.norm)) return {};
  return end;
}

}  // namespace

std::vector<BlockEnd> FindBlockEnds(const Graph& graph) {
  std::vector<BlockEnd> ends;
  for (int n = 0; n < static_cast<int>(graph.nodes.size()); ++n) {
    if (!IsType(graph, n, "relu")) continue;
    BlockEnd end;
    end.relu = n;
    end.output = graph.nodes[n].outputs[0];
    end.sum = graph.nodes[n].inputs[0];
    end.add = graph.values[end.sum].producer;
    const bool sums = IsType(graph, end.add, "add") && graph.nodes[end.add].inputs.size() == 2 &&
                      OnlyReader(graph, end.sum, n);
    if (!sums) continue;
    std::optional<BlockEnd> found = WithNorm(graph, end, 0);
    if (!found) found = WithNorm(graph, end, 1);
    if (found) ends.push_back(*found);
  }
  return ends;
}

}  // namespace encke::internal
