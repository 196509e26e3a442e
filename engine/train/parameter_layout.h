// How checkpoints name and lay out the parameters of a network: as torchvision's models do.
#pragma once

#include <string>
#include <vector>

#include "engine/graph/graph.h"
#include "engine/train/checkpoint.h"

namespace encke {

// Views of `tensors` (by parameter index: the parameters themselves, their momentum, ...) under
// their names, each after `prefix`; undefined tensors are left out.
//
// Convolution weights become [out, in / groups, kernel_h, kernel_w], weights of fully connected
// layers [out, in] with `in` in the order c, h, w that PyTorch's flatten gives, wherever between
// the last image and the layer the flattening happens; everything else is a vector.
// REQUIRES: the graph's shapes are inferred (for any batch).
std::vector<CheckpointTensor> CheckpointView(const Graph& graph, const std::vector<Tensor>& tensors,
                                             const std::string& prefix = "");

}  // namespace encke
