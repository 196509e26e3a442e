#include "layers/relu.h"

#include "engine/core/packed_samples.h"
#include "layers/windows.h"

namespace encke {
namespace {

class Relu : public Layer {
 public:
  std::string type() const override { return "relu"; }

  std::vector<Shape> InferShapes(const std::vector<Shape>& inputs) override {
    return {OnlyInput(inputs)};
  }

  std::vector<SavedNeed> SavedNeeds() const override {
    return {{SavedNeed::Of::OUTPUT, 0, SavedNeed::Form::MASK, BoundRule::EXACT}};
  }

  bool ForwardInPlace(int input) const override { return input == 0; }
  GradientFlow Flow(int) const override { return GradientFlow::IN_PLACE; }

  void Forward(ForwardContext& context) const override {
    context.backend.ReluForward(context.inputs[0], context.outputs[0]);
  }

  void Backward(BackwardContext& context) const override {
    const Tensor &dy = context.output_gradients[0], &dx = context.input_gradients[0];
    if (!dx.defined()) return;
    if (context.outputs[0].defined()) {
      context.backend.ReluBackward(context.outputs[0], dy, dx);
    } else {
      const Tensor& bits = context.output_masks[0];
      ForEachPacked(dy, 1, [&](const Tensor& part, int64_t first, int64_t count) {
        context.backend.ReluBackwardFromMask(bits.Slice(first, count), part,
                                             dx.Slice(first, count));
      });
    }
  }
};

}  // namespace

std::unique_ptr<Layer> NewRelu() { return std::make_unique<Relu>(); }

}  // namespace encke
