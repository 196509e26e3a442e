#include "layers/add.h"

namespace encke {
namespace {

class AddLayer : public Layer {
 public:
  std::string type() const override { return "add"; }

  std::vector<Shape> InferShapes(const std::vector<Shape>& inputs) override {
    ENCKE_CHECK(inputs.size() >= 2, inputs.size(), " inputs");
    for (size_t i = 1; i < inputs.size(); ++i) {
      if (inputs[i] == inputs[0]) continue;
      throw Error(ErrorKind::CONFIG,
                  StrCat("branch 1 gives ", inputs[0].ToString(), ", branch ", i + 1, " gives ",
                         inputs[i].ToString(), " (NxCxHxW); a sum needs equal shapes"),
                  "",
                  "give the branches the same strides and output channels, or join them by "
                  "concatenation");
    }
    return {inputs[0]};
  }

  bool ForwardInPlace(int input) const override { return input <= 1; }
  bool TakesRelu() const override { return true; }
  GradientFlow Flow(int) const override { return GradientFlow::IDENTITY; }

  void Forward(ForwardContext& context) const override {
    const Tensor& y = context.outputs[0];
    Tensor sum = context.inputs[0];
    for (size_t i = 1; i < context.inputs.size(); ++i) {
      const bool relu = context.relu && i + 1 == context.inputs.size();
      relu ? context.backend.AddRelu(sum, context.inputs[i], y)
           : context.backend.Add(sum, context.inputs[i], y);
      sum = y;
    }
  }

  void Backward(BackwardContext&) const override {}
};

}  // namespace

std::unique_ptr<Layer> NewAdd() { return std::make_unique<AddLayer>(); }

}  // namespace encke
