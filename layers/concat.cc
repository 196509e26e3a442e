#include "layers/concat.h"

namespace encke {
namespace {

class Concat : public Layer {
 public:
  std::string type() const override { return "concat"; }

  std::vector<Shape> InferShapes(const std::vector<Shape>& inputs) override {
    ENCKE_CHECK(inputs.size() >= 2, inputs.size(), " inputs");
    channels_ = {inputs[0].c};
    Shape output = inputs[0];
    for (size_t i = 1; i < inputs.size(); ++i) {
      const Shape& input = inputs[i];
      if (input.n != output.n || input.h != output.h || input.w != output.w) {
        throw Error(
            ErrorKind::CONFIG,
            StrCat("branch 1 gives ", inputs[0].ToString(), ", branch ", i + 1, " gives ",
                   input.ToString(), " (NxCxHxW); a concatenation needs equal height and width"),
            "", "give the branches the same strides and paddings");
      }
      output.c += input.c;
      channels_.push_back(input.c);
    }
    return {output};
  }

  bool CheapToRebuild() const override { return true; }

  void Forward(ForwardContext& context) const override {
    int64_t channel = 0;
    for (const Tensor& x : context.inputs) {
      context.backend.CopyChannels(x, 0, context.outputs[0], channel, x.shape().c);
      channel += x.shape().c;
    }
  }

  void Backward(BackwardContext& context) const override {
    int64_t channel = 0;
    for (size_t i = 0; i < context.input_gradients.size(); ++i) {
      const Tensor& dx = context.input_gradients[i];
      if (dx.defined()) {
        context.backend.CopyChannels(context.output_gradients[0], channel, dx, 0, dx.shape().c);
      }
      channel += channels_[i];
    }
  }

 private:
  std::vector<int64_t> channels_;  // of each input
};

}  // namespace

std::unique_ptr<Layer> NewConcat() { return std::make_unique<Concat>(); }

}  // namespace encke
