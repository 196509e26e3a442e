#include "layers/dropout.h"

#include "layers/windows.h"

namespace encke {
namespace {

class DropoutLayer : public Layer {
 public:
  explicit DropoutLayer(const DropoutOptions& options) : p_(options.p) {}

  std::string type() const override { return "dropout"; }

  std::vector<Shape> InferShapes(const std::vector<Shape>& inputs) override {
    if (!(p_ >= 0.0f && p_ < 1.0f)) {
      throw Error(ErrorKind::CONFIG, StrCat("dropout with probability ", p_), "",
                  "at least 0 and below 1");
    }
    return {OnlyInput(inputs)};
  }

  bool ForwardInPlace(int input) const override { return input == 0; }
  GradientFlow Flow(int) const override { return GradientFlow::IN_PLACE; }

  void Forward(ForwardContext& context) const override {
    const Tensor &x = context.inputs[0], &y = context.outputs[0];
    if (context.phase == Phase::TRAIN) {
      context.backend.Dropout(MaskOf(context, x.shape()), x, y);
    } else if (x.raw() != y.raw()) {
      context.backend.Copy(x, y);
    }
  }

  void Backward(BackwardContext& context) const override {
    if (!context.input_gradients[0].defined()) return;
    const Tensor& dy = context.output_gradients[0];
    context.backend.Dropout(MaskOf(context, dy.shape()), dy, context.input_gradients[0]);
  }

 private:
  template <typename Context>
  DropoutMask MaskOf(const Context& context, const Shape& shape) const {
    return {p_, context.seed, context.random_stream, context.slice.first * shape.sample()};
  }

  float p_;
};

}  // namespace

std::unique_ptr<Layer> NewDropout(const DropoutOptions& options) {
  return std::make_unique<DropoutLayer>(options);
}

}  // namespace encke
