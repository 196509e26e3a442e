// Layers with sliding windows: convolution and pooling.
#include <gtest/gtest.h>

#include "layers/average_pool.h"
#include "layers/convolution.h"
#include "layers/max_pool.h"
#include "tests/layers/op_test.h"
#include "tests/reference/reference.h"

namespace encke {
namespace {

OpCase ConvCase(const std::string& name, const Shape& input, const ConvolutionOptions& options) {
  OpCase op;
  op.name = name + " on " + input.ToString();
  op.make = [options] { return NewConvolution(options); };
  op.inputs = {input};
  op.reference = [options](const OpValues& values) {
    const auto bias = options.bias ? Wide(values.parameters[1]) : std::vector<double>();
    return reference::ConvForward(options.window, values.input_shapes[0], Wide(values.inputs[0]),
                                  Wide(values.parameters[0]), bias, values.output_shapes[0]);
  };
  return op;
}

ConvolutionOptions Square(int64_t out, int64_t kernel, int64_t stride, int64_t pad) {
  ConvolutionOptions o;
  o.out_channels = out;
  o.window.kernel_h = o.window.kernel_w = kernel;
  o.window.stride_h = o.window.stride_w = stride;
  o.window.pad_top = o.window.pad_bottom = o.window.pad_left = o.window.pad_right = pad;
  return o;
}

TEST(ConvolutionTest, Kernels) {
  for (const int64_t kernel : {1, 3, 5}) {
    for (const int64_t stride : {1, 2}) {
      ConvolutionOptions options = Square(5, kernel, stride, kernel / 2);
      options.bias = stride == 2;
      CheckOp(TestBackend(), ConvCase("square", {2, 7, 9, 3}, options));
    }
  }
}

TEST(ConvolutionTest, ChannelsAroundTheVectorWidth) {
  for (const int64_t channels : AwkwardSizes()) {
    CheckOp(TestBackend(), ConvCase("channels", {1, 4, 4, channels}, Square(channels, 3, 1, 1)));
  }
}

// Some libraries first copy the pixels that a strided 1x1 kernel looks at, and err there.
TEST(ConvolutionTest, StridedProjectionsOfFewChannels) {
  for (const int64_t channels : {1, 3, 6, 7, 9, 12, 17}) {
    for (const int64_t size : {6, 8, 12}) {
      CheckOp(TestBackend(), ConvCase("1x1", {4, size, size, channels}, Square(5, 1, 2, 0)));
    }
  }
}

TEST(ConvolutionTest, RowAndColumnKernels) {
  ConvolutionOptions row = Square(4, 1, 1, 0);
  row.window.kernel_w = 7;
  row.window.pad_left = row.window.pad_right = 3;
  CheckOp(TestBackend(), ConvCase("1x7", {2, 5, 8, 3}, row));
  ConvolutionOptions column = Square(4, 1, 1, 0);
  column.window.kernel_h = 7;
  column.window.pad_top = column.window.pad_bottom = 3;
  CheckOp(TestBackend(), ConvCase("7x1", {2, 8, 5, 3}, column));
}

TEST(ConvolutionTest, AsymmetricPaddingAndStride) {
  ConvolutionOptions options = Square(3, 3, 2, 0);
  options.window.pad_bottom = 1;
  options.window.pad_right = 2;
  options.window.stride_w = 1;
  CheckOp(TestBackend(), ConvCase("asymmetric", {2, 6, 5, 4}, options));
}

TEST(ConvolutionTest, Dilation) {
  ConvolutionOptions options = Square(3, 3, 1, 2);
  options.window.dilation_h = options.window.dilation_w = 2;
  CheckOp(TestBackend(), ConvCase("dilated", {2, 7, 6, 4}, options));
}

TEST(ConvolutionTest, Groups) {
  for (const int64_t groups : {2, 6}) {  // 6: depthwise
    ConvolutionOptions options = Square(12, 3, 1, 1);
    options.window.groups = groups;
    options.bias = true;
    CheckOp(TestBackend(), ConvCase("grouped", {2, 5, 5, 6}, options));
  }
}

TEST(ConvolutionTest, CountsMultiplyAdds) {
  const auto layer = NewConvolution(Square(64, 7, 2, 3));
  EXPECT_EQ(layer->InferShapes({{1, 224, 224, 3}})[0], (Shape{1, 112, 112, 64}));
  EXPECT_EQ(layer->Macs(), 118013952);  // the first layer of ResNet, for one image
}

PoolOptions Window(int64_t kernel, int64_t stride, int64_t pad) {
  PoolOptions o;
  o.kernel_h = o.kernel_w = kernel;
  o.stride_h = o.stride_w = stride;
  o.pad_top = o.pad_left = pad;
  return o;
}

void CheckMaxPool(const Shape& input, const PoolOptions& window, bool ceil_mode) {
  OpCase op;
  op.name = "max pool on " + input.ToString();
  op.make = [=] { return NewMaxPool({window, ceil_mode}); };
  op.inputs = {input};
  op.separated_inputs = true;
  op.reference = [=](const OpValues& values) {
    return reference::MaxPoolForward(window, values.input_shapes[0], Wide(values.inputs[0]),
                                     values.output_shapes[0])
        .y;
  };
  CheckOp(TestBackend(), op);
}

TEST(MaxPoolTest, Windows) {
  for (const bool ceil_mode : {false, true}) {
    CheckMaxPool({2, 7, 8, 3}, Window(2, 2, 0), ceil_mode);
    CheckMaxPool({2, 7, 8, 3}, Window(3, 2, 1), ceil_mode);  // overlapping, padded
    CheckMaxPool({1, 6, 5, 2}, Window(3, 1, 1), ceil_mode);
  }
}

TEST(MaxPoolTest, ChannelsAroundTheVectorWidth) {
  for (const int64_t channels : AwkwardSizes()) {
    CheckMaxPool({1, 5, 5, channels}, Window(3, 2, 0), false);
  }
}

// `window`: what the options come to on this input.
void CheckAveragePool(const Shape& input, const AveragePoolOptions& options,
                      const PoolOptions& window) {
  OpCase op;
  op.name = "average pool on " + input.ToString();
  op.make = [=] { return NewAveragePool(options); };
  op.inputs = {input};
  op.reference = [=](const OpValues& values) {
    return reference::AveragePoolForward(window, values.input_shapes[0], Wide(values.inputs[0]),
                                         values.output_shapes[0]);
  };
  CheckOp(TestBackend(), op);
}

TEST(AveragePoolTest, Windows) {
  for (const bool ceil_mode : {false, true}) {
    for (const bool include : {false, true}) {
      AveragePoolOptions options;
      options.ceil_mode = ceil_mode;
      for (const int64_t stride : {1, 2}) {
        options.window = Window(3, stride, 1);
        options.window.count_include_pad = include;
        CheckAveragePool({2, 6, 7, 3}, options, options.window);
      }
    }
  }
}

TEST(AveragePoolTest, Global) {
  AveragePoolOptions options;
  options.output_h = options.output_w = 1;
  for (const int64_t channels : AwkwardSizes()) {
    CheckAveragePool({2, 7, 7, channels}, options, Window(7, 1, 0));
  }
}

TEST(AveragePoolTest, Adaptive) {
  AveragePoolOptions options;
  options.output_h = 3;
  options.output_w = 2;
  PoolOptions window;
  window.kernel_h = window.stride_h = 2;
  window.kernel_w = window.stride_w = 4;
  CheckAveragePool({2, 6, 8, 5}, options, window);
}

}  // namespace
}  // namespace encke
