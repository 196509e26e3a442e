#include "layers/batch_norm.h"

#include "layers/windows.h"

namespace encke {
namespace {

enum ParameterIndex { WEIGHT, BIAS, RUNNING_MEAN, RUNNING_VAR };
enum StateIndex { MEAN, INV_STD, SUMS };

class BatchNorm : public Layer {
 public:
  explicit BatchNorm(const BatchNormOptions& options) : options_(options) {}

  std::string type() const override { return options_.relu ? "batch_norm_relu" : "batch_norm"; }

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
    std::vector<StateSpec> states = {{"mean", Shape::Vector(channels_)},
                                     {"inv_std", Shape::Vector(channels_)},
                                     {"sums", {3, 1, 1, channels_}}};
    for (StateSpec& state : states) state.whole = true;
    states[SUMS].scratch = true;
    return states;
  }

  std::vector<SavedNeed> SavedNeeds() const override {
    std::vector<SavedNeed> needs = {
        {SavedNeed::Of::INPUT, 0, SavedNeed::Form::VALUE, BoundRule::CHANNEL_STD}};
    if (options_.relu) {
      needs.push_back({SavedNeed::Of::OUTPUT, 0, SavedNeed::Form::MASK, BoundRule::EXACT});
    }
    return needs;
  }

  std::unique_ptr<Layer> WithRelu() const override {
    if (options_.relu) return nullptr;
    BatchNormOptions options = options_;
    options.relu = true;
    return std::make_unique<BatchNorm>(options);
  }

  bool TakesAddend() const override { return !options_.relu; }

  // Without ReLU nobody reads which elements are active.
  bool CheapToRebuild() const override { return options_.relu; }
  bool ForwardInPlace(int input) const override { return input == 0; }
  bool Gathers() const override { return true; }
  GradientFlow Flow(int) const override { return GradientFlow::IN_PLACE; }

  void GatherForward(ForwardContext& context) const override {
    const Shape& x = context.inputs[0].shape();
    RequireStatistics(x.WithBatch(context.slice.batch));
    context.backend.BatchNormMoments(context.inputs[0], context.state[SUMS],
                                     context.slice.continues);
  }

  void FinishForward(ForwardContext& context) const override {
    const std::vector<Tensor>& p = context.parameters;
    context.backend.BatchNormStatistics(options_.epsilon, options_.momentum, context.state[SUMS],
                                        context.state[MEAN], context.state[INV_STD],
                                        p[RUNNING_MEAN], p[RUNNING_VAR]);
  }

  void Forward(ForwardContext& context) const override {
    const std::vector<Tensor>& p = context.parameters;
    const Tensor &x = context.inputs[0], &y = context.outputs[0];
    if (context.phase == Phase::EVALUATE) {
      context.backend.BatchNormInference(options_.epsilon, options_.relu, x, p[WEIGHT], p[BIAS],
                                         p[RUNNING_MEAN], p[RUNNING_VAR], y);
    } else if (context.addend.defined()) {
      NormChannels norm = Channels(context.state, p);
      norm.relu = context.relu;
      context.backend.BatchNormApplyAdd(norm, x, context.addend, y);
    } else {
      context.backend.BatchNormApply(Channels(context.state, p), x, y);
    }
  }

  void GatherBackward(BackwardContext& context) const override {
    context.backend.BatchNormBackwardSums(
        Channels(context.state, context.parameters), context.inputs[0], context.outputs[0],
        context.output_gradients[0], Sums(context), context.slice.continues);
  }

  void FinishBackward(BackwardContext& context) const override {
    if (!context.parameter_gradients[WEIGHT].defined()) return;
    context.backend.BatchNormParameterGradients(Sums(context), context.parameter_gradients[WEIGHT],
                                                context.parameter_gradients[BIAS],
                                                context.accumulate);
  }

  void Backward(BackwardContext& context) const override {
    const Tensor &x = context.inputs[0], &dx = context.input_gradients[0];
    if (!dx.defined()) return;  // the network's own input
    const int64_t count = context.slice.batch * x.shape().h * x.shape().w;
    context.backend.BatchNormBackwardApply(Channels(context.state, context.parameters), x,
                                           context.outputs[0], Sums(context), count,
                                           context.output_gradients[0], dx);
  }

 private:
  static void RequireStatistics(const Shape& x) {
    if (x.n * x.h * x.w > 1) return;
    throw Error(ErrorKind::CONFIG,
                "batch norm has one element per channel in training, a batch of one 1x1 image", "",
                "a batch of at least 2, or no batch norm behind the global pooling");
  }

  NormChannels Channels(const std::vector<Tensor>& state, const std::vector<Tensor>& p) const {
    return {state[MEAN], state[INV_STD], p[WEIGHT], p[BIAS], options_.relu};
  }

  // Of the output gradient and of its product with the normalised input.
  static Tensor Sums(const BackwardContext& context) { return context.state[SUMS].Slice(0, 2); }

  BatchNormOptions options_;
  int64_t channels_ = 0;
};

}  // namespace

std::unique_ptr<Layer> NewBatchNorm(const BatchNormOptions& options) {
  return std::make_unique<BatchNorm>(options);
}

}  // namespace encke
