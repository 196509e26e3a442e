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
// VGG with batch norm: two stages of three conv-bn-relu, ever narrower, and a max pool. 3 x 12
// x 12.
Graph StackedNetwork();
// conv-bn-relu, max pool, batch norm, max pool, conv-bn-relu, and a global pool right before the
// loss: what pools hand back, made again from one another. 3 x 12 x 12.
Graph PooledNetwork();
// Convolutions with bias, LRN, branches of asymmetric kernels joined by concat, dropout, two fc
// layers. 3 x 12 x 12.
Graph BranchNetwork();
// conv-bn-relu-pool, a wide fc layer with a batch norm behind it, fc: in slices, the wide layer's
// weights are the last to read a gradient that the section before has made. 3 x 12 x 12.
Graph NormedFcNetwork();

// Each of the above but the pooled one, by number.
inline constexpr int kTestNetworks = 6;
Graph TestNetwork(int number);

}  // namespace encke
