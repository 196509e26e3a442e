#include "layers/lrn.h"

#include "layers/windows.h"

namespace encke {
namespace {

class Lrn : public Layer {
 public:
  explicit Lrn(const LrnOptions& options) : options_(options) {}

  std::string type() const override { return "lrn"; }

  std::vector<Shape> InferShapes(const std::vector<Shape>& inputs) override {
    if (options_.size < 1 || options_.size % 2 == 0) {
      throw Error(ErrorKind::CONFIG, StrCat("LRN over ", options_.size, " channels"), "",
                  "an odd number, so that the window has a centre");
    }
    if (!(options_.alpha >= 0.0f) || !(options_.k > 0.0f)) {
      throw Error(ErrorKind::CONFIG, StrCat("LRN with alpha ", options_.alpha, ", k ", options_.k),
                  "", "alpha must be at least 0, k above 0");
    }
    return {OnlyInput(inputs)};
  }

  std::vector<SavedNeed> SavedNeeds() const override {
    return {{SavedNeed::Of::INPUT, 0, SavedNeed::Form::VALUE, BoundRule::VALUE_RMS}};
  }

  void Forward(ForwardContext& context) const override {
    context.backend.LrnForward(options_, context.inputs[0], context.outputs[0]);
  }

  void Backward(BackwardContext& context) const override {
    if (!context.input_gradients[0].defined()) return;
    context.backend.LrnBackward(options_, context.inputs[0], context.output_gradients[0],
                                context.input_gradients[0]);
  }

 private:
  LrnOptions options_;
};

}  // namespace

std::unique_ptr<Layer> NewLrn(const LrnOptions& options) { return std::make_unique<Lrn>(options); }

}  // namespace encke
