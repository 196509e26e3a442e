// Ends of residual blocks, of which one tensor is kept in place of two.
#include "engine/graph/plan_internal.h"

namespace encke::internal {
namespace {

bool IsType(const Graph& graph, int node, const char* type) {
  return node >= 0 && graph.nodes[node].layer->type() == type;
}

// With side `side` of the sum as the batch norm's; false where it is none.
bool FillSides(const Graph& graph, size_t side, BlockEnd* end) {
  const std::vector<int>& sides = graph.nodes[end->add].inputs;
  end->norm = graph.values[sides[side]].producer;
  if (!IsType(graph, end->norm, "batch_norm") || !OnlyReader(graph, sides[side], end->add)) {
    return false;
  }
  end->input = CanonicalValue(graph, graph.nodes[end->norm].inputs[0]);
  end->shortcut = CanonicalValue(graph, sides[1 - side]);
  return OnlyReader(graph, end->input, end->norm);
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
    BlockEnd other = end;
    if (FillSides(graph, 0, &end)) {
      ends.push_back(end);
    } else if (FillSides(graph, 1, &other)) {
      ends.push_back(other);
    }
  }
  return ends;
}

}  // namespace encke::internal
