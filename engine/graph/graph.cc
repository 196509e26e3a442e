#include "engine/graph/graph.h"

#include <utility>

#include "engine/core/error.h"

namespace encke {
namespace {

std::vector<Shape> ShapesOf(const Graph& graph, const std::vector<int>& values) {
  std::vector<Shape> shapes;
  for (int value : values) shapes.push_back(graph.values[value].shape);
  return shapes;
}

void InferNode(Graph* graph, Node* node) {
  const std::vector<Shape> outputs = node->layer->InferShapes(ShapesOf(*graph, node->inputs));
  ENCKE_CHECK(node->outputs.size() == outputs.size(), node->name);
  for (size_t i = 0; i < outputs.size(); ++i) graph->values[node->outputs[i]].shape = outputs[i];
}

constexpr int kRemoved = -2;  // as a producer: the value is not in the graph any more

// Drops nodes without layers and values without producers, and numbers the others anew.
void RemoveUnused(Graph* graph) {
  std::vector<int> new_node(graph->nodes.size()), new_value(graph->values.size());
  std::vector<Node> nodes;
  for (size_t n = 0; n < graph->nodes.size(); ++n) {
    new_node[n] = static_cast<int>(nodes.size());
    if (graph->nodes[n].layer != nullptr) nodes.push_back(std::move(graph->nodes[n]));
  }
  std::vector<Value> values;
  for (size_t v = 0; v < graph->values.size(); ++v) {
    new_value[v] = static_cast<int>(values.size());
    if (graph->values[v].producer != kRemoved) values.push_back(std::move(graph->values[v]));
  }
  graph->nodes = std::move(nodes);
  graph->values = std::move(values);
  graph->logits = new_value[graph->logits];
  for (Value& value : graph->values) {
    for (int& consumer : value.consumers) consumer = new_node[consumer];
  }
  for (size_t n = 0; n < graph->nodes.size(); ++n) {
    Node& node = graph->nodes[n];
    for (int& value : node.inputs) value = new_value[value];
    for (int& value : node.outputs) {
      value = new_value[value];
      graph->values[value].producer = static_cast<int>(n);
    }
  }
}

}  // namespace

void Graph::InferShapes(int64_t batch) {
  values[0].shape = values[0].shape.WithBatch(batch);
  for (Node& node : nodes) InferNode(this, &node);
}

int64_t Graph::TrainedParameters() const {
  int64_t sum = 0;
  for (const Parameter& parameter : parameters) {
    if (parameter.spec.trained()) sum += parameter.spec.shape.elements();
  }
  return sum;
}

int64_t Graph::Macs() const {
  int64_t sum = 0;
  for (const Node& node : nodes) sum += node.layer->Macs();
  return sum;
}

GraphBuilder::GraphBuilder(const std::string& name, const Shape& input, int classes) {
  graph_.name = name;
  graph_.classes = classes;
  graph_.values.push_back({"input", input.WithBatch(1), -1, {}});
}

int GraphBuilder::Add(const std::string& name, const std::string& place,
                      std::unique_ptr<Layer> layer, const std::vector<int>& inputs) {
  std::vector<Shape> outputs;
  try {
    outputs = layer->InferShapes(ShapesOf(graph_, inputs));
  } catch (const Error& error) {
    throw Error(error.kind(), "layer '" + name + "': " + error.message(), place, error.hint());
  }
  Node node{name, place, std::move(layer), inputs, {}, {}};
  const int index = static_cast<int>(graph_.nodes.size());
  for (int value : inputs) graph_.values[value].consumers.push_back(index);
  for (const Shape& shape : outputs) {
    node.outputs.push_back(static_cast<int>(graph_.values.size()));
    graph_.values.push_back({name, shape, index, {}});
  }
  for (const ParameterSpec& spec : node.layer->Parameters()) {
    node.parameters.push_back(static_cast<int>(graph_.parameters.size()));
    graph_.parameters.push_back({name + "." + spec.name, spec});
  }
  graph_.nodes.push_back(std::move(node));
  return graph_.nodes.back().outputs[0];
}

Graph GraphBuilder::Finish(int logits, std::unique_ptr<Layer> loss) {
  ENCKE_CHECK(loss->IsLoss());
  graph_.logits = logits;
  Add("loss", "", std::move(loss), {logits});
  FuseRelus();
  return std::move(graph_);
}

void GraphBuilder::FuseRelus() {
  for (Node& relu : graph_.nodes) {
    if (relu.layer->type() != "relu") continue;
    const int between = relu.inputs[0];
    const int producer = graph_.values[between].producer;
    const bool alone = graph_.values[between].consumers.size() == 1 && between != graph_.logits;
    if (producer < 0 || !alone) continue;
    Node& node = graph_.nodes[producer];
    std::unique_ptr<Layer> fused = node.layer->WithRelu();
    if (fused == nullptr) continue;
    node.layer = std::move(fused);
    node.outputs = relu.outputs;
    relu.layer = nullptr;
    graph_.values[between].producer = kRemoved;
    InferNode(&graph_, &node);
  }
  RemoveUnused(&graph_);
}

}  // namespace encke
