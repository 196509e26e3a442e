// What CheckOp compares.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/core/rng.h"
#include "tests/layers/op_test.h"

namespace encke {
namespace {

constexpr float kStep =
    1e-2f;                   // of central differences: float32 noise and curvature are both small
constexpr int kProbes = 30;  // elements of each tensor that are differentiated numerically

double RootMeanSquare(const Values& values) {
  double sum = 0;
  for (const float value : values) sum += static_cast<double>(value) * value;
  return std::sqrt(sum / static_cast<double>(std::max<size_t>(values.size(), 1)));
}

double RelativeDifference(const Values& a, const Values& b) {
  Values difference(a.size());
  for (size_t i = 0; i < a.size(); ++i) difference[i] = a[i] - b[i];
  return RootMeanSquare(difference) / (RootMeanSquare(b) + 1e-6);
}

class OpChecker {
 public:
  OpChecker(Backend& backend, const OpCase& op)
      : backend_(backend), op_(op), layer_(op.make()), values_(DrawValues(op, *layer_)) {}

  void CheckAll() {
    base_ = Run(OpMode());
    CheckForward();
    if (!op_.kinks) CheckGradients();
    CheckInPlace();
    CheckMask();
    CheckAccumulation();
    CheckSlices();
    CheckPartialGradients();
    CheckEvaluation();
    CheckBf16();
    CheckSecondBatch();
  }

 private:
  OpResult Run(const OpMode& mode) { return RunOp(backend_, op_, *layer_, values_, mode); }

  void CheckAgainst(const OpReference& reference, const Values& output) {
    const std::vector<double> expected = reference(values_);
    ASSERT_EQ(output.size(), expected.size());
    double scale = 1e-3;
    for (const double value : expected) scale = std::max(scale, std::abs(value));
    for (size_t i = 0; i < expected.size(); ++i) {
      ASSERT_NEAR(output[i], expected[i], 1e-5 * scale) << "element " << i;
    }
  }

  void CheckForward() {
    if (op_.reference) CheckAgainst(op_.reference, base_.outputs[0]);
    for (const float value : base_.outputs[0]) ASSERT_TRUE(std::isfinite(value));
  }

  // The functional at the current values, summed in double.
  double Functional() {
    OpMode mode;
    mode.backward = false;
    const Values y = Run(mode).outputs[0];
    double sum = 0;
    for (size_t i = 0; i < y.size(); ++i) {
      sum += static_cast<double>(y[i]) * values_.output_gradients[0][i];
    }
    return sum;
  }

  double NumericalDerivative(float* x) {
    const float at = *x;
    const float above = at + kStep, below = at - kStep;
    *x = above;
    const double high = Functional();
    *x = below;
    const double low = Functional();
    *x = at;
    return (high - low) / (static_cast<double>(above) - below);
  }

  void CheckGradient(const std::string& what, Values* x, const Values& gradient) {
    ASSERT_EQ(gradient.size(), x->size()) << what;
    Rng rng(2, RngStream::TEST, x->size());
    const double scale = RootMeanSquare(gradient);
    for (int probe = 0; probe < kProbes; ++probe) {
      const size_t i = rng.Below(x->size());
      const double expected = NumericalDerivative(&(*x)[i]);
      ASSERT_NEAR(gradient[i], expected, 5e-3 * (scale + std::abs(expected)) + 1e-3)
          << what << ", element " << i;
    }
  }

  void CheckGradients() {
    for (size_t i = 0; i < values_.inputs.size(); ++i) {
      CheckGradient("input " + std::to_string(i), &values_.inputs[i], base_.input_gradients[i]);
    }
    for (size_t i = 0; i < values_.parameters.size(); ++i) {
      if (!values_.parameter_specs[i].trained()) continue;
      CheckGradient(values_.parameter_specs[i].name, &values_.parameters[i],
                    base_.parameter_gradients[i]);
    }
  }

  void ExpectSame(const OpMode& mode, const std::string& what) {
    const OpResult other = Run(mode);
    EXPECT_EQ(other.outputs, base_.outputs) << what;
    EXPECT_EQ(other.input_gradients, base_.input_gradients) << what;
    EXPECT_EQ(other.parameter_gradients, base_.parameter_gradients) << what;
  }

  void CheckInPlace() {
    OpMode mode;
    for (int i = 0; i < static_cast<int>(op_.inputs.size()); ++i) {
      mode.forward_in_place = i;
      if (layer_->ForwardInPlace(i)) ExpectSame(mode, "forward in place " + std::to_string(i));
    }
    mode.forward_in_place = -1;
    mode.gradient_in_place = layer_->Flow(0) == GradientFlow::IN_PLACE;
    if (mode.gradient_in_place) ExpectSame(mode, "gradient in place");
  }

  void CheckMask() {
    OpMode mode;
    for (const SavedNeed& need : layer_->SavedNeeds()) {
      mode.packed_mask |= need.form == SavedNeed::Form::MASK;
    }
    if (!mode.packed_mask) return;
    ExpectSame(mode, "packed mask");
    mode.gradient_in_place = true;
    ExpectSame(mode, "packed mask, in place");
  }

  void CheckAccumulation() {
    OpMode mode;
    mode.accumulate = true;
    const OpResult sum = Run(mode);
    for (size_t p = 0; p < base_.parameter_gradients.size(); ++p) {
      const Values& once = base_.parameter_gradients[p];
      const double tolerance = 1e-5 * (RootMeanSquare(once) + kAccumulatedOnto) * 10;
      for (size_t i = 0; i < once.size(); ++i) {
        ASSERT_NEAR(sum.parameter_gradients[p][i], once[i] + kAccumulatedOnto, tolerance)
            << "accumulated " << values_.parameter_specs[p].name;
      }
    }
  }

  // conv and fc may be asked for one kind of gradient only.
  void CheckPartialGradients() {
    OpMode mode;
    mode.input_gradients = false;
    EXPECT_EQ(Run(mode).parameter_gradients, base_.parameter_gradients);
    mode.input_gradients = true;
    mode.parameter_gradients = false;
    EXPECT_EQ(Run(mode).input_gradients, base_.input_gradients);
  }

  void CheckSlices() {
    OpMode mode;
    for (mode.slice = 1; mode.slice < values_.input_shapes[0].n; ++mode.slice) {
      const OpResult sliced = Run(mode);
      ExpectNear(sliced.outputs, base_.outputs, "sliced output", 1e-5);
      ExpectNear(sliced.parameters, base_.parameters, "parameter after slices", 1e-5);
      ExpectNear(sliced.input_gradients, base_.input_gradients, "sliced input gradient", 1e-4);
      ExpectNear(sliced.parameter_gradients, base_.parameter_gradients,
                 "sliced parameter gradient", 1e-4);
    }
  }

  void CheckEvaluation() {
    OpMode mode;
    mode.phase = Phase::EVALUATE;
    mode.backward = false;
    const OpResult evaluation = Run(mode);
    EXPECT_EQ(evaluation.parameters, values_.parameters) << "evaluation changed a parameter";
    if (op_.evaluation_reference) {
      CheckAgainst(op_.evaluation_reference, evaluation.outputs[0]);
    } else {
      EXPECT_EQ(evaluation.outputs, base_.outputs) << "evaluation";
    }
  }

  static void RoundToBf16(std::vector<Values>* tensors) {
    for (Values& tensor : *tensors) {
      for (float& value : tensor) value = static_cast<float>(bfloat16(value));
    }
  }

  void CheckBf16() {
    if (!backend_.Supports(DType::BF16)) return;
    const OpValues exact = values_;
    RoundToBf16(&values_.inputs);
    if (!layer_->IsLoss()) RoundToBf16(&values_.output_gradients);
    const OpResult wide = Run(OpMode());
    OpMode mode;
    mode.dtype = DType::BF16;
    const OpResult narrow = Run(mode);
    ExpectNear(narrow.outputs, wide.outputs, "bf16 output");
    ExpectNear(narrow.input_gradients, wide.input_gradients, "bf16 input gradient");
    ExpectNear(narrow.parameter_gradients, wide.parameter_gradients, "bf16 parameter gradient");
    values_ = exact;
  }

  static void ExpectNear(const std::vector<Values>& a, const std::vector<Values>& b,
                         const std::string& what, double tolerance = 2e-2) {
    for (size_t i = 0; i < a.size(); ++i) {
      ASSERT_EQ(a[i].size(), b[i].size());
      EXPECT_LT(RelativeDifference(a[i], b[i]), tolerance) << what << " " << i;
    }
  }

  // The same layer object, inferred again for another batch, works as a fresh one does.
  void CheckSecondBatch() {
    OpCase larger = op_;
    for (Shape& shape : larger.inputs) shape.n += 1;
    const OpValues values = DrawValues(larger, *layer_);
    const std::unique_ptr<Layer> fresh = op_.make();
    fresh->InferShapes(larger.inputs);
    const OpResult again = RunOp(backend_, larger, *layer_, values, OpMode());
    const OpResult first = RunOp(backend_, larger, *fresh, values, OpMode());
    EXPECT_EQ(again.outputs, first.outputs);
    EXPECT_EQ(again.input_gradients, first.input_gradients);
    EXPECT_EQ(again.parameter_gradients, first.parameter_gradients);
  }

  Backend& backend_;
  const OpCase& op_;
  std::unique_ptr<Layer> layer_;
  OpValues values_;
  OpResult base_;
};

}  // namespace

void CheckOp(Backend& backend, const OpCase& op) {
  SCOPED_TRACE(op.name);
  OpChecker(backend, op).CheckAll();
}

}  // namespace encke
