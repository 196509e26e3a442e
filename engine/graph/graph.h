// A network as a graph of layers: what the config describes, with names, shapes and parameters,
// before any memory exists.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/core/shape.h"
#include "layers/layer.h"

namespace encke {

// A tensor on an edge: produced once an iteration.
struct Value {
  std::string name;            // of the node that makes it
  Shape shape;                 // for the batch of the last InferShapes
  int producer = -1;           // node, -1: the network's input
  std::vector<int> consumers;  // nodes, in order, one entry for each use
};

struct Parameter {
  std::string name;  // full: "layer1.0.conv1.weight"
  ParameterSpec spec;
};

struct Node {
  std::string name;   // "layer1.0.conv1"
  std::string place;  // "models/resnet50.textproto:12:5", where the config describes it
  std::unique_ptr<Layer> layer;
  std::vector<int> inputs;      // values
  std::vector<int> outputs;     // values
  std::vector<int> parameters;  // into Graph::parameters, in the order of layer->Parameters()
};

// Nodes are in topological order. Value 0 is the normalised input image. The last node is the loss.
struct Graph {
  std::string name;
  int classes = 0;
  std::vector<Node> nodes;
  std::vector<Value> values;
  std::vector<Parameter> parameters;
  int logits = -1;  // value that the loss reads

  // Sets values[i].shape for this batch size. Cheap; the parameters do not change.
  void InferShapes(int64_t batch);
  int64_t TrainedParameters() const;  // number of trained scalars
  int64_t Macs() const;               // of forward, for the batch of the last InferShapes
};

// Puts nodes in one after another, inferring shapes as it goes; an Error from a layer gets `place`
// and the node's name.
class GraphBuilder {
 public:
  GraphBuilder(const std::string& name, const Shape& input, int classes);

  int input() const { return 0; }
  const Shape& shape(int value) const { return graph_.values[value].shape; }
  // Returns the value that the node makes.
  int Add(const std::string& name, const std::string& place, std::unique_ptr<Layer> layer,
          const std::vector<int>& inputs);
  // Adds the loss on `logits` and returns the graph, in which each ReLU has become part of the
  // layer before it where that layer can (Layer::WithRelu) and nobody else reads what it makes: the
  // node keeps its name, the value has the ReLU's. REQUIRES: loss->IsLoss(), one call.
  Graph Finish(int logits, std::unique_ptr<Layer> loss);

 private:
  void FuseRelus();

  Graph graph_;
};

}  // namespace encke
