// One test for every layer: given a layer and the shapes of its inputs, CheckOp compares
//   - forward with a float64 reference, in training and in evaluation,
//   - the gradients of inputs and parameters with central differences of a random linear functional
//     of the outputs,
//   - in-place with separate outputs and gradients, packed masks with values, accumulation,
//     gradients asked for alone, a batch in slices with a batch at once, a second batch size, bf16
//     with fp32,
// with guard bytes around every tensor, and with backward given nothing but what the layer declared
// that it reads: everything else is undefined, so that an undeclared read fails.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/backend/backend.h"
#include "layers/layer.h"

namespace encke {

using Values = std::vector<float>;

// What goes into one forward pass, on the host. Tensors in NHWC order.
struct OpValues {
  std::vector<Shape> input_shapes, output_shapes;
  std::vector<Values> inputs;
  std::vector<Values> output_gradients;  // the functional
  std::vector<ParameterSpec> parameter_specs;
  std::vector<Values> parameters;
  std::vector<int32_t> labels;
};

// The one output that `values` should give, in double.
using OpReference = std::function<std::vector<double>(const OpValues& values)>;

struct OpCase {
  std::string name;  // for messages
  std::function<std::unique_ptr<Layer>()> make;
  std::vector<Shape> inputs;

  OpReference reference = nullptr;             // of training; empty: gradients only
  OpReference evaluation_reference = nullptr;  // empty: evaluation gives what training gives
  // Inputs no two of which, and none of which and 0, are closer than 0.05: for layers with kinks,
  // which central differences must not step over.
  bool separated_inputs = false;
  // Kinks lie where inputs cannot be kept away from them: no central differences.
  bool kinks = false;
  int classes = 10;  // labels of losses are below
};

inline std::vector<double> Wide(const Values& values) { return {values.begin(), values.end()}; }

// What came out.
struct OpResult {
  std::vector<Values> outputs, input_gradients, parameter_gradients;
  std::vector<Values> parameters;  // after forward: running statistics move
};

// How to run.
struct OpMode {
  DType dtype = DType::F32;
  Phase phase = Phase::TRAIN;
  int forward_in_place = -1;  // the input in whose place the output comes, -1: none
  bool gradient_in_place = false;
  bool packed_mask = false;     // where a mask is needed: one bit an element
  bool accumulate = false;      // onto parameter gradients that hold kAccumulatedOnto
  bool input_gradients = true;  // asked for
  bool parameter_gradients = true;
  bool backward = true;
  int64_t slice = 0;  // samples at a time, 0: the batch at once
};
inline constexpr float kAccumulatedOnto = 3.0f;

// Draws inputs, parameters and output gradients for a layer whose shapes are inferred here.
OpValues DrawValues(const OpCase& op, Layer& layer);

// One forward and, if asked, backward pass, with guards checked.
OpResult RunOp(Backend& backend, const OpCase& op, const Layer& layer, const OpValues& values,
               const OpMode& mode);

// All checks; failures are reported through gtest.
void CheckOp(Backend& backend, const OpCase& op);

// The device under test: that of the environment variable ENCKE_TEST_DEVICE, "cpu" by default.
Backend& TestBackend();

// Sizes around the widths of vector registers.
std::vector<int64_t> AwkwardSizes();

}  // namespace encke
