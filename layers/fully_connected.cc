#include "layers/fully_connected.h"

#include "layers/windows.h"

namespace encke {
namespace {

class FullyConnected : public Layer {
 public:
  explicit FullyConnected(const FullyConnectedOptions& options) : options_(options) {}

  std::string type() const override { return "fc"; }

  std::vector<Shape> InferShapes(const std::vector<Shape>& inputs) override {
    const int64_t out = options_.out_features;
    if (out < 1) {
      throw Error(ErrorKind::CONFIG, StrCat(out, " output features"), "", "at least 1 is needed");
    }
    input_ = OnlyInput(inputs);
    output_ = {input_.n, 1, 1, out};
    return {output_};
  }

  std::vector<ParameterSpec> Parameters() const override {
    const int64_t in = input_.sample(), out = options_.out_features;
    std::vector<ParameterSpec> specs = {
        {"weight", {out, 1, 1, in}, ParameterSpec::Role::WEIGHT, options_.weight_init, in, out}};
    if (options_.bias) {
      specs.push_back(
          {"bias", Shape::Vector(out), ParameterSpec::Role::BIAS, options_.bias_init, in, out});
    }
    return specs;
  }

  std::vector<SavedNeed> SavedNeeds() const override {
    return {{SavedNeed::Of::INPUT, 0, SavedNeed::Form::VALUE, BoundRule::WEIGHT_GRADIENT}};
  }

  int64_t Macs() const override { return input_.elements() * options_.out_features; }

  int64_t WorkspaceBytes(Backend& backend, DType dtype, Pass pass) const override {
    return backend.FullyConnectedWorkspaceBytes(input_, output_, dtype, pass);
  }

  void Forward(ForwardContext& context) const override {
    const Tensor* bias = options_.bias ? &context.parameters[1] : nullptr;
    context.backend.FullyConnectedForward(context.inputs[0], context.parameters[0], bias,
                                          context.outputs[0]);
  }

  void Backward(BackwardContext& context) const override {
    const Tensor& dy = context.output_gradients[0];
    if (context.input_gradients[0].defined()) {
      context.backend.FullyConnectedBackwardData(dy, context.parameters[0],
                                                 context.input_gradients[0]);
    }
    if (context.parameter_gradients[0].defined()) {
      const bool bias = options_.bias && context.parameter_gradients[1].defined();
      const Tensor* dbias = bias ? &context.parameter_gradients[1] : nullptr;
      context.backend.FullyConnectedBackwardFilter(
          context.inputs[0], dy, context.parameter_gradients[0], dbias, context.accumulate);
    }
  }

 private:
  FullyConnectedOptions options_;
  Shape input_, output_;
};

}  // namespace

std::unique_ptr<Layer> NewFullyConnected(const FullyConnectedOptions& options) {
  return std::make_unique<FullyConnected>(options);
}

}  // namespace encke
