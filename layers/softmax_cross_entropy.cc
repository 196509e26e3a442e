#include "layers/softmax_cross_entropy.h"

#include "layers/windows.h"

namespace encke {
namespace {

class SoftmaxCrossEntropy : public Layer {
 public:
  explicit SoftmaxCrossEntropy(const SoftmaxCrossEntropyOptions& options)
      : smoothing_(options.label_smoothing) {}

  std::string type() const override { return "softmax_cross_entropy"; }

  std::vector<Shape> InferShapes(const std::vector<Shape>& inputs) override {
    logits_ = OnlyInput(inputs);
    if (logits_.h != 1 || logits_.w != 1) {
      throw Error(ErrorKind::CONFIG,
                  StrCat("the loss needs one vector of logits for each image, but gets ", logits_.h,
                         "x", logits_.w, " of them"),
                  "", "end the network with an fc layer or a global average pooling");
    }
    if (!(smoothing_ >= 0.0f && smoothing_ < 1.0f)) {
      throw Error(ErrorKind::CONFIG, StrCat("label smoothing ", smoothing_), "",
                  "at least 0 and below 1");
    }
    return {{logits_.n, 1, 1, 1}};
  }

  std::vector<StateSpec> States() const override { return {{"probabilities", logits_}}; }

  bool IsLoss() const override { return true; }

  void Forward(ForwardContext& context) const override {
    const Tensor& logits = context.inputs[0];
    const Tensor probabilities = context.phase == Phase::TRAIN
                                     ? context.state[0]
                                     : Tensor::Empty(context.backend.allocator(), logits.shape(),
                                                     DType::F32, MemoryCategory::TRANSIENT);
    context.backend.SoftmaxCrossEntropyForward(logits, context.labels, smoothing_, probabilities,
                                               context.outputs[0]);
  }

  void Backward(BackwardContext& context) const override {
    if (!context.input_gradients[0].defined()) return;
    context.backend.SoftmaxCrossEntropyBackward(context.state[0], context.labels, smoothing_,
                                                context.loss_scale, context.input_gradients[0]);
  }

 private:
  float smoothing_;
  Shape logits_;
};

}  // namespace

std::unique_ptr<Layer> NewSoftmaxCrossEntropy(const SoftmaxCrossEntropyOptions& options) {
  return std::make_unique<SoftmaxCrossEntropy>(options);
}

}  // namespace encke
