// Ends of residual blocks, of which one tensor is kept in place of two.
#include <algorithm>
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

// Whether it is only read to be added to others, whose gradients are then its own.
bool IsAdded(const Graph& graph, int value) {
  const std::vector<int>& consumers = graph.values[value].consumers;
  if (consumers.size() != 1) return false;
  const Node& sum = graph.nodes[consumers[0]];
  const auto input = std::find(sum.inputs.begin(), sum.inputs.end(), value);
  return sum.inputs.size() > 1 && input != sum.inputs.end() &&
         sum.layer->Flow(static_cast<int>(input - sum.inputs.begin())) == GradientFlow::IDENTITY;
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

std::vector<ShortBranch> FindShortBranches(const Graph& graph) {
  std::vector<ShortBranch> branches;
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    if (!graph.nodes[n].layer->Gathers() || !IsAdded(graph, graph.nodes[n].outputs[0])) continue;
    ShortBranch branch;
    branch.nodes = {static_cast<int>(n)};
    while (graph.nodes[branch.nodes.back()].inputs.size() == 1) {
      branch.fork = CanonicalValue(graph, graph.nodes[branch.nodes.back()].inputs[0]);
      const int maker = graph.values[branch.fork].producer;
      const bool shared = graph.values[branch.fork].consumers.size() > 1;
      if (shared || maker < 0 || graph.nodes[maker].layer->Gathers()) break;
      branch.nodes.push_back(maker);
    }
    const bool ends = branch.nodes.size() > 1 && graph.values[branch.fork].consumers.size() > 1;
    const int64_t sum = graph.values[graph.nodes[n].outputs[0]].shape.sample();
    if (ends && graph.values[branch.fork].shape.sample() > sum) branches.push_back(branch);
  }
  return branches;
}

}  // namespace encke::internal
