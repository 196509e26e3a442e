#include "tests/engine/graph/test_networks.h"

#include "layers/add.h"
#include "layers/average_pool.h"
#include "layers/batch_norm.h"
#include "layers/concat.h"
#include "layers/convolution.h"
#include "layers/dropout.h"
#include "layers/flatten.h"
#include "layers/fully_connected.h"
#include "layers/lrn.h"
#include "layers/max_pool.h"
#include "layers/relu.h"
#include "layers/softmax_cross_entropy.h"

namespace encke {
namespace {

constexpr Shape kInput = {1, 12, 12, 3};
constexpr int kClasses = 5;

std::unique_ptr<Layer> Conv(int64_t out, int64_t kernel_h, int64_t kernel_w, int64_t stride,
                            bool bias) {
  ConvolutionOptions options;
  options.out_channels = out;
  options.window.kernel_h = kernel_h;
  options.window.kernel_w = kernel_w;
  options.window.stride_h = options.window.stride_w = stride;
  options.window.pad_top = options.window.pad_bottom = (kernel_h - 1) / 2;
  options.window.pad_left = options.window.pad_right = (kernel_w - 1) / 2;
  options.bias = bias;
  return NewConvolution(options);
}

std::unique_ptr<Layer> MaxPool() {
  MaxPoolOptions options;
  options.window.kernel_h = options.window.kernel_w = 2;
  options.window.stride_h = options.window.stride_w = 2;
  return NewMaxPool(options);
}

std::unique_ptr<Layer> Fc(int64_t out) {
  FullyConnectedOptions options;
  options.out_features = out;
  return NewFullyConnected(options);
}

class Maker {
 public:
  explicit Maker(const std::string& name) : builder_(name, kInput, kClasses) {}

  int Then(const std::string& name, std::unique_ptr<Layer> layer, int input) {
    return builder_.Add(name, "", std::move(layer), {input});
  }
  int ConvBn(const std::string& name, int64_t out, int64_t kernel, int64_t stride, int input) {
    const int conv = Then(name, Conv(out, kernel, kernel, stride, false), input);
    return Then(name + ".bn", NewBatchNorm(), conv);
  }
  int Join(const std::string& name, std::unique_ptr<Layer> layer, const std::vector<int>& inputs) {
    return builder_.Add(name, "", std::move(layer), inputs);
  }
  int Block(const std::string& name, int64_t out, int64_t stride, bool project, int input) {
    int main = ConvBn(name + ".conv1", out, 3, stride, input);
    main = Then(name + ".relu1", NewRelu(), main);
    main = ConvBn(name + ".conv2", out, 3, 1, main);
    const int side = project ? ConvBn(name + ".side", out, 1, stride, input) : input;
    return Then(name + ".relu2", NewRelu(), Join(name + ".add", NewAdd(), {main, side}));
  }
  int Bottleneck(const std::string& name, int64_t width, int64_t out, bool project, int input) {
    int main = Then(name + ".relu1", NewRelu(), ConvBn(name + ".conv1", width, 1, 1, input));
    main = Then(name + ".relu2", NewRelu(), ConvBn(name + ".conv2", width, 3, 1, main));
    main = ConvBn(name + ".conv3", out, 1, 1, main);
    const int side = project ? ConvBn(name + ".side", out, 1, 1, input) : input;
    return Then(name + ".relu3", NewRelu(), Join(name + ".add", NewAdd(), {main, side}));
  }
  Graph Finish(int logits) { return builder_.Finish(logits, NewSoftmaxCrossEntropy()); }

 private:
  GraphBuilder builder_;
};

}  // namespace

Graph ResidualNetwork() {
  Maker maker("residual");
  int x = maker.Then("relu0", NewRelu(), maker.ConvBn("conv0", 8, 3, 1, 0));
  x = maker.Block("block1", 12, 2, true, x);
  x = maker.Block("block2", 12, 1, false, x);
  x = maker.Then("pool", MaxPool(),
                 maker.Then("relu3", NewRelu(), maker.ConvBn("conv3", 9, 3, 1, x)));
  x = maker.Then("flatten", NewFlatten(), maker.Then("average", NewGlobalAveragePool(), x));
  return maker.Finish(maker.Then("fc", Fc(kClasses), x));
}

Graph BottleneckNetwork() {
  Maker maker("bottleneck");
  int x = maker.Then("pool", MaxPool(), maker.ConvBn("conv0", 16, 3, 1, 0));
  x = maker.Then("relu0", NewRelu(), x);
  x = maker.Bottleneck("block1", 4, 64, true, x);
  x = maker.Bottleneck("block2", 4, 64, false, x);
  x = maker.Bottleneck("block3", 4, 64, false, x);
  x = maker.Then("flatten", NewFlatten(), maker.Then("average", NewGlobalAveragePool(), x));
  return maker.Finish(maker.Then("fc", Fc(kClasses), x));
}

Graph PreActivationNetwork() {
  Maker maker("preactivation");
  const int x = maker.Then("conv0", Conv(8, 3, 3, 1, false), 0);
  int main = maker.Then("relu1", NewRelu(), maker.Then("bn1", NewBatchNorm(), x));
  main = maker.Then("conv1", Conv(8, 3, 3, 1, false), main);
  int y = maker.Join("add", NewAdd(), {main, x});
  y = maker.Then("relu2", NewRelu(), maker.Then("bn2", NewBatchNorm(), y));
  y = maker.Then("flatten", NewFlatten(), maker.Then("pool", MaxPool(), y));
  y = maker.Then("relu3", NewRelu(), maker.Then("fc0", Fc(256), y));
  const int left = maker.Then("left", Fc(256), y), right = maker.Then("right", Fc(256), y);
  y = maker.Then("relu4", NewRelu(), maker.Join("sum", NewAdd(), {left, right}));
  return maker.Finish(maker.Then("fc", Fc(kClasses), y));
}

Graph BranchNetwork() {
  Maker maker("branch");
  int x = maker.Then("relu0", NewRelu(), maker.Then("conv0", Conv(8, 3, 3, 1, true), 0));
  x = maker.Then("lrn", NewLrn(), x);
  x = maker.Then("pool0", MaxPool(), x);
  const int left =
      maker.Then("left.relu", NewRelu(), maker.Then("left", Conv(4, 1, 7, 1, true), x));
  const int right =
      maker.Then("right.relu", NewRelu(), maker.Then("right", Conv(6, 7, 1, 1, true), x));
  x = maker.Join("concat", NewConcat(), {left, right, x});
  x = maker.Then("flatten", NewFlatten(), x);
  x = maker.Then("relu1", NewRelu(), maker.Then("fc1", Fc(16), x));
  x = maker.Then("dropout", NewDropout(), x);
  return maker.Finish(maker.Then("fc2", Fc(kClasses), x));
}

Graph NormedFcNetwork() {
  Maker maker("normed_fc");
  int x = maker.Then("relu0", NewRelu(), maker.ConvBn("conv0", 8, 3, 1, 0));
  x = maker.Then("flatten", NewFlatten(), maker.Then("pool", MaxPool(), x));
  x = maker.Then("bn1", NewBatchNorm(), maker.Then("fc0", Fc(512), x));
  x = maker.Then("relu1", NewRelu(), x);
  return maker.Finish(maker.Then("fc", Fc(kClasses), x));
}

Graph StackedNetwork() {
  Maker maker("stacked");
  int x = 0;
  for (const char* stage : {"a", "b"}) {
    for (int channels : {16, 12, 8}) {
      const std::string name = StrCat(stage, channels);
      x = maker.Then("relu" + name, NewRelu(), maker.ConvBn("conv" + name, channels, 3, 1, x));
    }
    x = maker.Then(StrCat("pool", stage), MaxPool(), x);
  }
  x = maker.Then("flatten", NewFlatten(), maker.Then("average", NewGlobalAveragePool(), x));
  return maker.Finish(maker.Then("fc", Fc(kClasses), x));
}

Graph PooledNetwork() {
  Maker maker("pooled");
  int x = maker.Then("relu0", NewRelu(), maker.ConvBn("conv0", 8, 3, 1, 0));
  x = maker.Then("pool0", MaxPool(), x);
  x = maker.Then("pool1", MaxPool(), maker.Then("bn1", NewBatchNorm(), x));
  x = maker.Then("relu2", NewRelu(), maker.ConvBn("conv2", kClasses, 3, 1, x));
  return maker.Finish(
      maker.Then("flatten", NewFlatten(), maker.Then("average", NewGlobalAveragePool(), x)));
}

Graph TestNetwork(int number) {
  constexpr Graph (*kMakers[kTestNetworks])() = {ResidualNetwork,   BranchNetwork,
                                                 BottleneckNetwork, PreActivationNetwork,
                                                 NormedFcNetwork,   StackedNetwork};
  return kMakers[number]();
}

}  // namespace encke
