// Small networks with every kind of edge that the plan treats apart.
#pragma once

#include "engine/graph/graph.h"

namespace encke {

// conv-bn-relu, a residual block with projection, one with identity, ReLU before max pool, average
// pool, fc. 3 x 12 x 12.
Graph ResidualNetwork();
// conv-bn-pool-relu, then bottleneck blocks, whose last convolution makes by far the largest
// tensors, the first with projection: large inputs of batch norms made from small ones. 3 x 12
// x 12.
Graph BottleneckNetwork();
// A pre-activation block, whose input is read by a batch norm and, later, by the sum; then two wide
// fc layers joined by a sum. 3 x 12 x 12.
Graph PreActivationNetwork();
// Convolutions with bias, LRN, branches of asymmetric kernels joined by concat, dropout, two fc
// layers. 3 x 12 x 12.
Graph BranchNetwork();
// conv-bn-relu-pool, a wide fc layer with a batch norm behind it, fc: in slices, the wide layer's
// weights are the last to read a gradient that the section before has made. 3 x 12 x 12.
Graph NormedFcNetwork();

// Each of the above, by number.
inline constexpr int kTestNetworks = 5;
Graph TestNetwork(int number);

}  // namespace encke
