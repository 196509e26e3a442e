#include "layers/batch_norm.h"

#include "layers/windows.h"

namespace encke {
namespace {

enum ParameterIndex { WEIGHT, BIAS, RUNNING_MEAN, RUNNING_VAR };
enum StateIndex { MEAN, INV_STD };

class BatchNorm : public Layer {
 public:
  explicit BatchNorm(const BatchNormOptions& options) : options_(options) {}

  std::string type() const override { return "batch_norm"; }

  std::vector<Shape> InferShapes(const std::vector<Shape>& inputs) override {
    if (!(options_.epsilon > 0.0f) || !(options_.momentum >= 0.0f && options_.momentum <= 1.0f)) {
      throw Error(ErrorKind::CONFIG,
                  StrCat("epsilon ", options_.epsilon, ", momentum ", options_.momentum), "",
                  "epsilon must be above 0, momentum within 0 and 1");
    }
    channels_ = OnlyInput(inputs).c;
    return inputs;
  }

  std::vector<ParameterSpec> Parameters() const override {
    using Role = ParameterSpec::Role;
    const Shape shape = Shape::Vector(channels_);
    const Initializer zero{Initializer::Kind::CONSTANT, 0.0f};
    const Initializer one{Initializer::Kind::CONSTANT, 1.0f};
    return {{"weight", shape, Role::NORM_SCALE, one},
            {"bias", shape, Role::NORM_SHIFT, zero},
            {"running_mean", shape, Role::STATISTIC, zero},
            {"running_var", shape, Role::STATISTIC, one}};
  }

  std::vector<StateSpec> States() const override {
    return {{"mean", Shape::Vector(channels_)}, {"inv_std", Shape::Vector(channels_)}};
  }

  std::vector<SavedNeed> SavedNeeds() const override {
    return {{SavedNeed::Of::INPUT, 0, SavedNeed::Form::VALUE, BoundRule::CHANNEL_STD}};
  }

  bool SampleIndependent() const override { return false; }
  GradientFlow Flow(int) const override { return GradientFlow::IN_PLACE; }

  void Forward(ForwardContext& context) const override {
    const std::vector<Tensor>& p = context.parameters;
    const Tensor &x = context.inputs[0], &y = context.outputs[0];
    if (context.phase == Phase::EVALUATE) {
      context.backend.BatchNormInference(options_.epsilon, x, p[WEIGHT], p[BIAS], p[RUNNING_MEAN],
                                         p[RUNNING_VAR], y);
      return;
    }
    RequireStatistics(x.shape());
    context.backend.BatchNormForward(options_.epsilon, options_.momentum, x, p[WEIGHT], p[BIAS], y,
                                     context.state[MEAN], context.state[INV_STD], p[RUNNING_MEAN],
                                     p[RUNNING_VAR]);
  }

  void Backward(BackwardContext& context) const override {
    const Tensor &x = context.inputs[0], &dy = context.output_gradients[0];
    // The network's own input wants no gradient, but the primitive computes one.
    const Tensor dx = context.input_gradients[0].defined()
                          ? context.input_gradients[0]
                          : Tensor::Empty(context.backend.allocator(), dy.shape(), dy.dtype(),
                                          MemoryCategory::TRANSIENT);
    context.backend.BatchNormBackward(
        x, context.parameters[WEIGHT], context.state[MEAN], context.state[INV_STD], dy, dx,
        context.parameter_gradients[WEIGHT], context.parameter_gradients[BIAS], context.accumulate);
  }

 private:
  static void RequireStatistics(const Shape& x) {
    if (x.n * x.h * x.w > 1) return;
    throw Error(ErrorKind::CONFIG,
                "batch norm has one element per channel in training, a batch of one 1x1 image", "",
                "a batch of at least 2, or no batch norm behind the global pooling");
  }

  BatchNormOptions options_;
  int64_t channels_ = 0;
};

}  // namespace

std::unique_ptr<Layer> NewBatchNorm(const BatchNormOptions& options) {
  return std::make_unique<BatchNorm>(options);
}

}  // namespace encke
