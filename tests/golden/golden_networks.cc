#include "tests/golden/golden_networks.h"

#include <utility>

#include "layers/add.h"
#include "layers/average_pool.h"
#include "layers/batch_norm.h"
#include "layers/concat.h"
#include "layers/convolution.h"
#include "layers/fully_connected.h"
#include "layers/lrn.h"
#include "layers/max_pool.h"
#include "layers/relu.h"
#include "layers/softmax_cross_entropy.h"

namespace encke {
namespace {

constexpr int kClasses = 5;

// A GraphBuilder with short words for what the networks are made of.
class Net {
 public:
  Net(const std::string& name, int64_t image) : builder_(name, {1, image, image, 3}, kClasses) {}

  int Add(const std::string& name, std::unique_ptr<Layer> layer, const std::vector<int>& inputs) {
    return builder_.Add(name, "", std::move(layer), inputs);
  }
  int Conv(const std::string& name, const ConvolutionOptions& options, int x) {
    return Add(name, NewConvolution(options), {x});
  }
  int Relu(int x) { return Add("relu", NewRelu(), {x}); }
  int Norm(const std::string& name, float epsilon, int x) {
    return Add(name, NewBatchNorm({epsilon, 0.1f}), {x});
  }
  int MaxPool(int64_t kernel, int64_t stride, int64_t pad, bool ceil_mode, int x) {
    MaxPoolOptions o;
    o.window.kernel_h = o.window.kernel_w = kernel;
    o.window.stride_h = o.window.stride_w = stride;
    o.window.pad_top = o.window.pad_left = pad;
    o.ceil_mode = ceil_mode;
    return Add("max_pool", NewMaxPool(o), {x});
  }
  int FullyConnected(const std::string& name, int64_t out, int x) {
    FullyConnectedOptions o;
    o.out_features = out;
    return Add(name, NewFullyConnected(o), {x});
  }
  int GlobalPool(int x) { return Add("pool", NewGlobalAveragePool(), {x}); }
  Graph Finish(int logits, float smoothing = 0.0f) {
    return builder_.Finish(logits, NewSoftmaxCrossEntropy({smoothing}));
  }

 private:
  GraphBuilder builder_;
};

ConvolutionOptions Window(int64_t out, int64_t kernel_h, int64_t kernel_w, int64_t stride,
                          int64_t pad_h, int64_t pad_w) {
  ConvolutionOptions o;
  o.out_channels = out;
  o.window.kernel_h = kernel_h;
  o.window.kernel_w = kernel_w;
  o.window.stride_h = o.window.stride_w = stride;
  o.window.pad_top = o.window.pad_bottom = pad_h;
  o.window.pad_left = o.window.pad_right = pad_w;
  return o;
}

ConvolutionOptions Square(int64_t out, int64_t kernel, int64_t stride, int64_t pad) {
  return Window(out, kernel, kernel, stride, pad, pad);
}

ConvolutionOptions WithBias(ConvolutionOptions options, int64_t groups = 1) {
  options.bias = true;
  options.window.groups = groups;
  return options;
}

int ResidualBlock(Net* net, const std::string& name, int64_t out, int64_t stride, int x) {
  int y = net->Conv(name + ".conv1", Square(out, 3, stride, 1), x);
  y = net->Relu(net->Norm(name + ".bn1", 1e-5f, y));
  y = net->Conv(name + ".conv2", Square(out, 3, 1, 1), y);
  y = net->Norm(name + ".bn2", 1e-5f, y);
  int shortcut = x;
  if (stride > 1) {
    shortcut = net->Conv(name + ".downsample.0", Square(out, 1, stride, 0), x);
    shortcut = net->Norm(name + ".downsample.1", 1e-5f, shortcut);
  }
  return net->Relu(net->Add(name + ".add", NewAdd(), {y, shortcut}));
}

int ConvBnRelu(Net* net, const std::string& name, const ConvolutionOptions& options, int x) {
  const int y = net->Conv(name + ".conv", options, x);
  return net->Relu(net->Norm(name + ".bn", 1e-3f, y));
}

}  // namespace

Graph AlexNetLike() {
  Net net("alexnet", 19);
  LrnOptions lrn;
  lrn.alpha = 0.3f;
  int x = net.Relu(net.Conv("conv1", WithBias(Square(8, 5, 2, 2)), 0));
  x = net.MaxPool(3, 2, 0, false, net.Add("norm1", NewLrn(lrn), {x}));
  x = net.Relu(net.Conv("conv2", WithBias(Square(12, 3, 1, 1), 2), x));
  x = net.MaxPool(3, 2, 0, false, x);
  x = net.Relu(net.FullyConnected("fc1", 24, x));
  return net.Finish(net.FullyConnected("fc2", kClasses, x));
}

Graph VggLike() {
  Net net("vgg", 12);
  int x = net.Conv("conv1", WithBias(Square(6, 3, 1, 1)), 0);
  x = net.MaxPool(2, 2, 0, false, net.Relu(net.Norm("bn1", 1e-5f, x)));
  x = net.Conv("conv2", WithBias(Square(10, 3, 1, 1)), x);
  x = net.MaxPool(2, 2, 0, false, net.Relu(net.Norm("bn2", 1e-5f, x)));
  return net.Finish(net.FullyConnected("fc", kClasses, x));
}

Graph ResNetLike() {
  Net net("resnet", 16);
  int x = net.Conv("conv1", Square(6, 3, 1, 1), 0);
  x = net.MaxPool(3, 2, 1, false, net.Relu(net.Norm("bn1", 1e-5f, x)));
  x = ResidualBlock(&net, "layer1", 6, 1, x);
  x = ResidualBlock(&net, "layer2", 10, 2, x);
  return net.Finish(net.FullyConnected("fc", kClasses, net.GlobalPool(x)));
}

Graph InceptionLike() {
  Net net("inception", 17);
  const int x = ConvBnRelu(&net, "stem", Square(6, 3, 2, 0), 0);
  const int branch0 = ConvBnRelu(&net, "branch0", Square(4, 1, 1, 0), x);
  int branch1 = ConvBnRelu(&net, "branch1.0", Square(4, 1, 1, 0), x);
  branch1 = ConvBnRelu(&net, "branch1.1", Window(5, 1, 7, 1, 0, 3), branch1);
  branch1 = ConvBnRelu(&net, "branch1.2", Window(6, 7, 1, 1, 3, 0), branch1);
  AveragePoolOptions average;
  average.window.kernel_h = average.window.kernel_w = 3;
  average.window.pad_top = average.window.pad_left = 1;
  int branch2 = net.Add("branch2.0", NewAveragePool(average), {x});
  branch2 = ConvBnRelu(&net, "branch2.1", Square(3, 1, 1, 0), branch2);
  const int mixed = net.Add("mixed", NewConcat(), {branch0, branch1, branch2});
  const int reduce0 = net.MaxPool(3, 2, 0, true, mixed);
  const int reduce1 = ConvBnRelu(&net, "reduce1", Square(6, 3, 2, 1), mixed);
  const int reduced = net.Add("reduced", NewConcat(), {reduce0, reduce1});
  return net.Finish(net.FullyConnected("fc", kClasses, net.GlobalPool(reduced)), 0.1f);
}

}  // namespace encke
