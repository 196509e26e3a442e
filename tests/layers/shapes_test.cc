// Output shapes, and errors that say what would fit.
#include <gtest/gtest.h>

#include <set>

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
#include "layers/registry.h"
#include "layers/relu.h"
#include "layers/softmax_cross_entropy.h"

namespace encke {
namespace {

// Message and hint of the error that shape inference gives; "" if it gives none.
std::string ErrorOf(const std::unique_ptr<Layer>& layer, const std::vector<Shape>& inputs) {
  try {
    layer->InferShapes(inputs);
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::CONFIG);
    EXPECT_EQ(error.place(), "");
    EXPECT_NE(error.hint(), "");
    return error.message() + " | " + error.hint();
  }
}

#define EXPECT_SAYS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

ConvolutionOptions Conv(int64_t kernel, int64_t stride, int64_t pad) {
  ConvolutionOptions o;
  o.out_channels = 8;
  o.window.kernel_h = o.window.kernel_w = kernel;
  o.window.stride_h = o.window.stride_w = stride;
  o.window.pad_top = o.window.pad_bottom = o.window.pad_left = o.window.pad_right = pad;
  return o;
}

TEST(ShapesTest, ConvolutionThatDoesNotFitSaysWhatWould) {
  const std::string text = ErrorOf(NewConvolution(Conv(11, 4, 2)), {{1, 5, 5, 3}});
  EXPECT_SAYS(text, "kernel 11 reaches over 11 pixels of height");
  EXPECT_SAYS(text, "input has 5 and padding adds 4");
  EXPECT_SAYS(text, "at most 9 fits");
  EXPECT_EQ(ErrorOf(NewConvolution(Conv(9, 4, 2)), {{1, 5, 5, 3}}), "");
}

TEST(ShapesTest, DilatedConvolutionThatDoesNotFitSaysWhatWould) {
  ConvolutionOptions options = Conv(5, 1, 0);
  options.window.dilation_h = options.window.dilation_w = 3;
  EXPECT_SAYS(ErrorOf(NewConvolution(options), {{1, 8, 8, 3}}), "at most 3 fits");
  options.window.kernel_h = options.window.kernel_w = 3;
  EXPECT_EQ(ErrorOf(NewConvolution(options), {{1, 8, 8, 3}}), "");
}

TEST(ShapesTest, ConvolutionRefusesImpossibleNumbers) {
  EXPECT_SAYS(ErrorOf(NewConvolution(Conv(3, 0, 1)), {{1, 8, 8, 3}}), "stride 0");
  EXPECT_SAYS(ErrorOf(NewConvolution(Conv(0, 1, 0)), {{1, 8, 8, 3}}), "kernel 0");
  EXPECT_SAYS(ErrorOf(NewConvolution(Conv(3, 1, -1)), {{1, 8, 8, 3}}), "negative padding");
  ConvolutionOptions grouped = Conv(3, 1, 1);
  grouped.window.groups = 2;
  EXPECT_SAYS(ErrorOf(NewConvolution(grouped), {{1, 8, 8, 3}}),
              "2 groups do not divide 3 input and 8 output channels");
  ConvolutionOptions none = Conv(3, 1, 1);
  none.out_channels = 0;
  EXPECT_SAYS(ErrorOf(NewConvolution(none), {{1, 8, 8, 3}}), "0 output channels");
}

// Counts, for every tap of the kernel and every output position, whether the tap meets a pixel.
double CountInside(const ConvOptions& o, const Shape& x, const Shape& y) {
  int64_t inside = 0, all = 0;
  for (int64_t p = 0; p < y.h; ++p) {
    for (int64_t q = 0; q < y.w; ++q) {
      for (int64_t r = 0; r < o.kernel_h; ++r) {
        for (int64_t s = 0; s < o.kernel_w; ++s) {
          const int64_t h = p * o.stride_h + r * o.dilation_h - o.pad_top;
          const int64_t w = q * o.stride_w + s * o.dilation_w - o.pad_left;
          inside += h >= 0 && h < x.h && w >= 0 && w < x.w;
          ++all;
        }
      }
    }
  }
  return static_cast<double>(inside) / static_cast<double>(all);
}

TEST(ShapesTest, AConvolutionKnowsHowMuchOfItMeetsPadding) {
  ConvolutionOptions asymmetric = Conv(3, 2, 0);
  asymmetric.window.kernel_w = 7;
  asymmetric.window.pad_left = 3;
  asymmetric.window.pad_right = 2;
  asymmetric.window.pad_bottom = 1;
  ConvolutionOptions dilated = Conv(3, 1, 4);
  dilated.window.dilation_h = dilated.window.dilation_w = 4;
  for (const ConvolutionOptions& options :
       {Conv(3, 1, 1), Conv(1, 1, 0), Conv(7, 2, 3), Conv(11, 4, 2), asymmetric, dilated}) {
    for (const Shape& x : {Shape{2, 9, 10, 3}, Shape{1, 16, 11, 3}}) {
      const auto layer = NewConvolution(options);
      const Shape y = layer->InferShapes({x}).at(0);
      EXPECT_DOUBLE_EQ(layer->ShareInside(), CountInside(options.window, x, y)) << y.ToString();
    }
  }
  const auto layer = NewConvolution(Conv(3, 1, 1));
  layer->InferShapes({{1, 2, 2, 3}});
  EXPECT_DOUBLE_EQ(layer->ShareInside(), 4.0 / 9);
}

PoolOptions Window(int64_t kernel, int64_t stride, int64_t pad) {
  PoolOptions o;
  o.kernel_h = o.kernel_w = kernel;
  o.stride_h = o.stride_w = stride;
  o.pad_top = o.pad_left = pad;
  return o;
}

int64_t PooledHeight(int64_t input, const PoolOptions& window, bool ceil_mode) {
  return NewMaxPool({window, ceil_mode})->InferShapes({{1, input, 64, 1}})[0].h;
}

// Values of torch.nn.MaxPool2d.
TEST(ShapesTest, PoolingCountsWindowsAsPyTorchDoes) {
  EXPECT_EQ(PooledHeight(55, Window(3, 2, 0), false), 27);
  EXPECT_EQ(PooledHeight(56, Window(3, 2, 0), false), 27);
  EXPECT_EQ(PooledHeight(56, Window(3, 2, 0), true), 28);
  EXPECT_EQ(PooledHeight(112, Window(3, 2, 1), false), 56);
  EXPECT_EQ(PooledHeight(5, Window(2, 2, 1), false), 3);
  EXPECT_EQ(PooledHeight(5, Window(2, 2, 1), true), 3);  // a fourth would start in the padding
  EXPECT_EQ(PooledHeight(4, Window(2, 2, 1), true), 3);
  EXPECT_EQ(PooledHeight(4, Window(1, 3, 0), true), 2);
}

TEST(ShapesTest, PoolingRefusesWhatDoesNotFit) {
  EXPECT_SAYS(ErrorOf(NewMaxPool({Window(3, 2, 2), false}), {{1, 8, 8, 3}}),
              "padding 2 is more than half of kernel 3");
  EXPECT_SAYS(ErrorOf(NewMaxPool({Window(3, 2, 0), false}), {{1, 2, 8, 3}}), "at most 2 fits");
  EXPECT_SAYS(ErrorOf(NewMaxPool({Window(17, 1, 0), false}), {{1, 32, 32, 3}}), "at most 256");
}

TEST(ShapesTest, AdaptivePoolingNamesBothSizes) {
  AveragePoolOptions options;
  options.output_h = options.output_w = 6;
  const std::string text = ErrorOf(NewAveragePool(options), {{1, 7, 7, 256}});
  EXPECT_SAYS(text, "to 6x6 of an input of 7x7");
  EXPECT_EQ(NewAveragePool(options)->InferShapes({{2, 12, 6, 5}})[0], (Shape{2, 6, 6, 5}));
  EXPECT_EQ(NewGlobalAveragePool()->InferShapes({{2, 7, 5, 3}})[0], (Shape{2, 1, 1, 3}));
}

TEST(ShapesTest, JoinsNameTheBranchThatDiffers) {
  const Shape a{2, 8, 8, 16}, wide{2, 8, 8, 32}, small{2, 4, 4, 16};
  EXPECT_SAYS(ErrorOf(NewAdd(), {a, a, wide}), "branch 3 gives 2x32x8x8");
  EXPECT_SAYS(ErrorOf(NewConcat(), {a, wide, small}), "branch 3 gives 2x16x4x4");
  EXPECT_EQ(NewConcat()->InferShapes({a, wide})[0], (Shape{2, 8, 8, 48}));
}

TEST(ShapesTest, LossNeedsVectors) {
  EXPECT_SAYS(ErrorOf(NewSoftmaxCrossEntropy(), {{2, 7, 7, 10}}), "7x7");
  EXPECT_SAYS(ErrorOf(NewSoftmaxCrossEntropy({1.0f}), {{2, 1, 1, 10}}), "label smoothing 1");
}

TEST(ShapesTest, OptionsOutOfRange) {
  const std::vector<Shape> input = {{2, 4, 4, 8}};
  EXPECT_SAYS(ErrorOf(NewDropout({1.0f}), input), "probability 1");
  EXPECT_SAYS(ErrorOf(NewBatchNorm({0.0f, 0.1f}), input), "epsilon 0");
  EXPECT_SAYS(ErrorOf(NewBatchNorm({1e-5f, 2.0f}), input), "momentum 2");
  LrnOptions even;
  even.size = 4;
  EXPECT_SAYS(ErrorOf(NewLrn(even), input), "LRN over 4 channels");
  FullyConnectedOptions none;
  none.out_features = 0;
  EXPECT_SAYS(ErrorOf(NewFullyConnected(none), input), "0 output features");
}

TEST(RegistryTest, HasEveryLayerOnce) {
  std::vector<std::unique_ptr<Layer>> layers;
  layers.push_back(NewConvolution({}));
  layers.push_back(NewFullyConnected({}));
  layers.push_back(NewBatchNorm());
  layers.push_back(NewRelu());
  layers.push_back(NewMaxPool({}));
  layers.push_back(NewAveragePool({}));
  layers.push_back(NewDropout());
  layers.push_back(NewLrn());
  layers.push_back(NewAdd());
  layers.push_back(NewConcat());
  layers.push_back(NewFlatten());
  layers.push_back(NewSoftmaxCrossEntropy());
  std::set<std::string> built, listed;
  for (const auto& layer : layers) built.insert(layer->type());
  for (const LayerType& type : LayerTypes()) {
    EXPECT_TRUE(listed.insert(type.name).second) << type.name << " is listed twice";
  }
  EXPECT_EQ(listed, built);
  EXPECT_FALSE(IsLayerType("convolution"));
}

}  // namespace
}  // namespace encke
