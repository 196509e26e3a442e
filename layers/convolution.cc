#include "layers/convolution.h"

#include "layers/windows.h"

namespace encke {
namespace {

class Convolution : public Layer {
 public:
  explicit Convolution(const ConvolutionOptions& options) : options_(options) {}

  std::string type() const override { return "conv"; }

  std::vector<Shape> InferShapes(const std::vector<Shape>& inputs) override {
    input_ = OnlyInput(inputs);
    CheckChannels();
    output_ = {input_.n, CountWindows(Height()), CountWindows(Width()), options_.out_channels};
    return {output_};
  }

  std::vector<ParameterSpec> Parameters() const override {
    const Shape w = WeightShape();
    const int64_t fan_in = w.sample(), fan_out = w.n * w.h * w.w;
    std::vector<ParameterSpec> specs = {
        {"weight", w, ParameterSpec::Role::WEIGHT, options_.weight_init, fan_in, fan_out}};
    if (options_.bias) {
      specs.push_back({"bias", Shape::Vector(w.n), ParameterSpec::Role::BIAS, options_.bias_init,
                       fan_in, fan_out});
    }
    return specs;
  }

  std::vector<SavedNeed> SavedNeeds() const override {
    return {{SavedNeed::Of::INPUT, 0, SavedNeed::Form::VALUE, BoundRule::WEIGHT_GRADIENT}};
  }

  int64_t Macs() const override { return output_.elements() * WeightShape().sample(); }

  double ShareInside() const override {
    return encke::ShareInside(Height()) * encke::ShareInside(Width());
  }

  int64_t WorkspaceBytes(Backend& backend, DType dtype, Pass pass) const override {
    return backend.ConvWorkspaceBytes(options_.window, input_, output_, dtype, pass);
  }

  void Forward(ForwardContext& context) const override {
    const Tensor* bias = options_.bias ? &context.parameters[1] : nullptr;
    context.backend.ConvForward(options_.window, context.inputs[0], context.parameters[0], bias,
                                context.outputs[0]);
  }

  void Backward(BackwardContext& context) const override {
    const Tensor& dy = context.output_gradients[0];
    if (context.input_gradients[0].defined()) {
      context.backend.ConvBackwardData(options_.window, dy, context.parameters[0],
                                       context.input_gradients[0]);
    }
    if (context.parameter_gradients[0].defined()) {
      const bool bias = options_.bias && context.parameter_gradients[1].defined();
      const Tensor* dbias = bias ? &context.parameter_gradients[1] : nullptr;
      context.backend.ConvBackwardFilter(options_.window, context.inputs[0], dy,
                                         context.parameter_gradients[0], dbias, context.accumulate);
    }
  }

 private:
  WindowAxis Height() const {
    const ConvOptions& o = options_.window;
    return {"height", input_.h, o.kernel_h, o.stride_h, o.dilation_h, o.pad_top, o.pad_bottom};
  }

  WindowAxis Width() const {
    const ConvOptions& o = options_.window;
    return {"width", input_.w, o.kernel_w, o.stride_w, o.dilation_w, o.pad_left, o.pad_right};
  }

  Shape WeightShape() const {
    const ConvOptions& o = options_.window;
    return {options_.out_channels, o.kernel_h, o.kernel_w, input_.c / o.groups};
  }

  void CheckChannels() const {
    const int64_t out = options_.out_channels, groups = options_.window.groups;
    if (out < 1) {
      throw Error(ErrorKind::CONFIG, StrCat(out, " output channels"), "", "at least 1 is needed");
    }
    if (groups < 1 || input_.c % groups != 0 || out % groups != 0) {
      throw Error(ErrorKind::CONFIG,
                  StrCat(groups, " groups do not divide ", input_.c, " input and ", out,
                         " output channels"),
                  "", "the number of groups must divide both");
    }
  }

  ConvolutionOptions options_;
  Shape input_, output_;
};

}  // namespace

std::unique_ptr<Layer> NewConvolution(const ConvolutionOptions& options) {
  return std::make_unique<Convolution>(options);
}

}  // namespace encke
