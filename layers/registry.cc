#include "layers/registry.h"

namespace encke {

std::vector<LayerType> LayerTypes() {
  return {
      {"conv", "convolution with stride, padding, dilation, groups and bias"},
      {"fc", "fully connected layer over height, width and channels together"},
      {"batch_norm", "batch normalisation, running statistics at evaluation"},
      {"relu", "rectified linear unit"},
      {"max_pool", "maximum over windows"},
      {"average_pool", "mean over windows, to a given output size, or over the whole image"},
      {"dropout", "zeroes elements at random in training"},
      {"lrn", "local response normalisation across channels"},
      {"add", "sum of branches"},
      {"concat", "branches side by side along the channels"},
      {"flatten", "height, width and channels become one"},
      {"softmax_cross_entropy", "the loss of classification, with label smoothing"},
  };
}

bool IsLayerType(const std::string& name) {
  for (const LayerType& type : LayerTypes()) {
    if (name == type.name) return true;
  }
  return false;
}

}  // namespace encke
