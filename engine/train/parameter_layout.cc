#include "engine/train/parameter_layout.h"

namespace encke {
namespace {

// Whether the layer hands its input's elements on, each in its place.
bool KeepsOrder(const Layer& layer) {
  const std::string type = layer.type();
  return type == "flatten" || type == "dropout" || type == "relu";
}

// The shape that a fully connected layer's input had before it was flattened.
Shape ImageShape(const Graph& graph, int value) {
  while (true) {
    const Value& current = graph.values[value];
    if (current.shape.h * current.shape.w > 1 || current.producer < 0) return current.shape;
    const Node& producer = graph.nodes[current.producer];
    if (!KeepsOrder(*producer.layer)) return current.shape;
    value = producer.inputs[0];
  }
}

CheckpointTensor View(const Graph& graph, const Node& node, int parameter, const Tensor& tensor) {
  const Parameter& described = graph.parameters[parameter];
  const Shape& shape = tensor.shape();
  const bool weight = described.spec.role == ParameterSpec::Role::WEIGHT;
  if (weight && node.layer->type() == "conv")
    return {described.name, {shape.n, shape.c, shape.h, shape.w}, tensor};
  if (weight && node.layer->type() == "fc") {
    const Shape image = ImageShape(graph, node.inputs[0]).WithBatch(shape.n);
    return {described.name, {shape.n, shape.sample()}, tensor.Reshape(image)};
  }
  return {described.name, {shape.elements()}, tensor};
}

}  // namespace

std::vector<CheckpointTensor> CheckpointView(const Graph& graph, const std::vector<Tensor>& tensors,
                                             const std::string& prefix) {
  std::vector<CheckpointTensor> views;
  for (const Node& node : graph.nodes) {
    for (const int parameter : node.parameters) {
      if (!tensors[parameter].defined()) continue;
      views.push_back(View(graph, node, parameter, tensors[parameter]));
      views.back().name = prefix + views.back().name;
    }
  }
  return views;
}

}  // namespace encke
