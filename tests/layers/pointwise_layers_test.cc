// Layers without windows: fully connected, normalisations, activations, joins, the loss.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "layers/add.h"
#include "layers/batch_norm.h"
#include "layers/concat.h"
#include "layers/dropout.h"
#include "layers/flatten.h"
#include "layers/fully_connected.h"
#include "layers/lrn.h"
#include "layers/relu.h"
#include "layers/softmax_cross_entropy.h"
#include "tests/layers/op_test.h"
#include "tests/reference/reference.h"

namespace encke {
namespace {

OpCase Case(const std::string& name, const std::vector<Shape>& inputs,
            std::function<std::unique_ptr<Layer>()> make) {
  OpCase op;
  op.name = name + " on " + inputs[0].ToString();
  op.make = std::move(make);
  op.inputs = inputs;
  return op;
}

void CheckFullyConnected(const Shape& input, int64_t out, bool bias) {
  FullyConnectedOptions options;
  options.out_features = out;
  options.bias = bias;
  OpCase op = Case("fc", {input}, [=] { return NewFullyConnected(options); });
  op.reference = [=](const OpValues& values) {
    const Shape& x = values.input_shapes[0];
    const auto transposed = reference::Transpose(out, x.sample(), Wide(values.parameters[0]));
    std::vector<double> y =
        reference::Matmul(x.n, x.sample(), out, Wide(values.inputs[0]), transposed);
    for (size_t i = 0; bias && i < y.size(); ++i) y[i] += values.parameters[1][i % out];
    return y;
  };
  CheckOp(TestBackend(), op);
}

TEST(FullyConnectedTest, SizesAroundTheVectorWidth) {
  for (const int64_t size : AwkwardSizes()) {
    CheckFullyConnected({3, 1, 1, size + 1}, size, size % 2 == 1);
  }
}

TEST(FullyConnectedTest, TakesImages) { CheckFullyConnected({4, 3, 2, 5}, 6, true); }

// With the running statistics, parameters 2 and 3.
std::vector<double> EvaluateBatchNorm(const OpValues& values) {
  std::vector<double> y;
  const auto& p = values.parameters;
  for (size_t i = 0; i < values.inputs[0].size(); ++i) {
    const size_t c = i % p[0].size();
    y.push_back((values.inputs[0][i] - p[2][c]) / std::sqrt(p[3][c] + 1e-5) * p[0][c] + p[1][c]);
  }
  return y;
}

TEST(BatchNormTest, ChannelsAroundTheVectorWidth) {
  for (const int64_t channels : AwkwardSizes()) {
    OpCase op = Case("batch norm", {{3, 4, 5, channels}}, [] { return NewBatchNorm(); });
    op.reference = [](const OpValues& values) {
      return reference::BatchNormForward(1e-5, values.input_shapes[0], Wide(values.inputs[0]),
                                         Wide(values.parameters[0]), Wide(values.parameters[1]))
          .y;
    };
    op.evaluation_reference = EvaluateBatchNorm;
    CheckOp(TestBackend(), op);
  }
}

// The fused one against the two after another.
TEST(BatchNormTest, WithReluInOnePass) {
  for (const int64_t channels : AwkwardSizes()) {
    BatchNormOptions options;
    options.relu = true;
    OpCase op = Case("batch norm and relu", {{3, 4, 5, channels}},
                     [options] { return NewBatchNorm(options); });
    op.kinks = true;
    op.reference = [](const OpValues& values) {
      std::vector<double> y =
          reference::BatchNormForward(1e-5, values.input_shapes[0], Wide(values.inputs[0]),
                                      Wide(values.parameters[0]), Wide(values.parameters[1]))
              .y;
      for (double& value : y) value = std::max(value, 0.0);
      return y;
    };
    op.evaluation_reference = [](const OpValues& values) {
      std::vector<double> y = EvaluateBatchNorm(values);
      for (double& value : y) value = std::max(value, 0.0);
      return y;
    };
    CheckOp(TestBackend(), op);
  }
}

TEST(BatchNormTest, RunningStatisticsFollowTheBatch) {
  OpCase op = Case("batch norm", {{2, 1, 2, 1}}, [] { return NewBatchNorm({1e-5f, 0.25f}); });
  const std::unique_ptr<Layer> layer = op.make();
  OpValues values = DrawValues(op, *layer);
  values.inputs = {{1, 2, 3, 6}};
  values.parameters = {{1}, {0}, {10}, {2}};
  const OpResult result = RunOp(TestBackend(), op, *layer, values, OpMode());
  EXPECT_FLOAT_EQ(result.parameters[2][0], 0.75f * 10 + 0.25f * 3);
  EXPECT_FLOAT_EQ(result.parameters[3][0], 0.75f * 2 + 0.25f * 14.0f / 3);  // unbiased
}

TEST(BatchNormTest, RefusesToTrainOnOneElement) {
  const OpCase op = Case("batch norm", {{1, 1, 1, 4}}, [] { return NewBatchNorm(); });
  const std::unique_ptr<Layer> layer = op.make();
  const OpValues values = DrawValues(op, *layer);
  EXPECT_THROW(RunOp(TestBackend(), op, *layer, values, OpMode()), Error);
}

TEST(ReluTest, AllSizes) {
  for (const int64_t size : AwkwardSizes()) {
    OpCase op = Case("relu", {{1, 3, 1, size}}, NewRelu);
    op.separated_inputs = true;
    op.reference = [](const OpValues& values) {
      std::vector<double> y = Wide(values.inputs[0]);
      for (double& value : y) value = std::max(value, 0.0);
      return y;
    };
    CheckOp(TestBackend(), op);
  }
}

TEST(DropoutTest, GradientGoesThroughTheForwardMask) {
  for (const int64_t size : AwkwardSizes()) {
    OpCase op = Case("dropout", {{2, 3, 1, size}}, [] { return NewDropout({0.3f}); });
    op.evaluation_reference = [](const OpValues& values) { return Wide(values.inputs[0]); };
    CheckOp(TestBackend(), op);
  }
}

TEST(DropoutTest, DropsTheRightFractionAndKeepsTheMean) {
  const OpCase op = Case("dropout", {{1, 100, 100, 4}}, [] { return NewDropout({0.3f}); });
  const std::unique_ptr<Layer> layer = op.make();
  OpValues values = DrawValues(op, *layer);
  values.inputs = {Values(40000, 1.0f)};
  const Values y = RunOp(TestBackend(), op, *layer, values, OpMode()).outputs[0];
  int64_t dropped = 0;
  for (const float value : y) {
    dropped += value == 0.0f;
    if (value != 0.0f) {
      ASSERT_FLOAT_EQ(value, 1.0f / 0.7f);
    }
  }
  EXPECT_NEAR(static_cast<double>(dropped) / 40000, 0.3, 0.01);  // 4 standard deviations
}

TEST(LrnTest, Windows) {
  LrnOptions options;
  options.alpha = 0.5f;  // strong enough for the gradient's second term to count
  options.k = 2.0f;
  for (const int64_t size : {1, 3, 5}) {
    options.size = size;
    for (const int64_t channels : AwkwardSizes()) {
      OpCase op = Case("lrn", {{1, 3, 2, channels}}, [=] { return NewLrn(options); });
      op.reference = [=](const OpValues& values) {
        return reference::LrnForward(options, values.input_shapes[0], Wide(values.inputs[0]));
      };
      CheckOp(TestBackend(), op);
    }
  }
}

TEST(AddTest, TwoAndThreeInputs) {
  for (const int64_t size : AwkwardSizes()) {
    for (const int inputs : {2, 3}) {
      OpCase op = Case("add", std::vector<Shape>(inputs, {2, 3, 1, size}), NewAdd);
      op.reference = [](const OpValues& values) {
        std::vector<double> y(values.inputs[0].size());
        for (const Values& x : values.inputs) {
          for (size_t i = 0; i < y.size(); ++i) y[i] += x[i];
        }
        return y;
      };
      CheckOp(TestBackend(), op);
    }
  }
}

std::vector<double> ConcatReference(const OpValues& values) {
  const Shape& shape = values.output_shapes[0];
  std::vector<double> y;
  for (int64_t pixel = 0; pixel < shape.n * shape.h * shape.w; ++pixel) {
    for (size_t i = 0; i < values.inputs.size(); ++i) {
      const auto from = values.inputs[i].begin() + pixel * values.input_shapes[i].c;
      y.insert(y.end(), from, from + values.input_shapes[i].c);
    }
  }
  return y;
}

TEST(ConcatTest, ChannelsInOrder) {
  for (const int64_t size : AwkwardSizes()) {
    OpCase op = Case("concat", {{2, 3, 2, size}, {2, 3, 2, 5}, {2, 3, 2, 8}}, NewConcat);
    op.reference = ConcatReference;
    CheckOp(TestBackend(), op);
  }
}

TEST(FlattenTest, KeepsTheBytes) {
  OpCase op = Case("flatten", {{3, 2, 5, 7}}, NewFlatten);
  op.reference = [](const OpValues& values) { return Wide(values.inputs[0]); };
  CheckOp(TestBackend(), op);
}

TEST(SoftmaxCrossEntropyTest, ClassesAndSmoothing) {
  for (const float smoothing : {0.0f, 0.1f}) {
    for (const int64_t classes : AwkwardSizes()) {
      OpCase op =
          Case("loss", {{5, 1, 1, classes}}, [=] { return NewSoftmaxCrossEntropy({smoothing}); });
      op.classes = static_cast<int>(classes);
      op.reference = [=](const OpValues& values) {
        return reference::SoftmaxCrossEntropy(values.input_shapes[0], Wide(values.inputs[0]),
                                              values.labels, smoothing)
            .loss;
      };
      CheckOp(TestBackend(), op);
    }
  }
}

}  // namespace
}  // namespace encke
