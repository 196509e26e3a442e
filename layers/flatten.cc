#include "layers/flatten.h"

#include "layers/windows.h"

namespace encke {
namespace {

class Flatten : public Layer {
 public:
  std::string type() const override { return "flatten"; }

  std::vector<Shape> InferShapes(const std::vector<Shape>& inputs) override {
    const Shape& input = OnlyInput(inputs);
    return {{input.n, 1, 1, input.sample()}};
  }

  bool ForwardInPlace(int input) const override { return input == 0; }
  bool IsView() const override { return true; }
  GradientFlow Flow(int) const override { return GradientFlow::IDENTITY; }

  void Forward(ForwardContext& context) const override {
    const Tensor &x = context.inputs[0], &y = context.outputs[0];
    if (x.raw() != y.raw()) context.backend.Copy(x.Reshape(y.shape()), y);
  }

  void Backward(BackwardContext&) const override {}
};

}  // namespace

std::unique_ptr<Layer> NewFlatten() { return std::make_unique<Flatten>(); }

}  // namespace encke
