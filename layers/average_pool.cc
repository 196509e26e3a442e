#include "layers/average_pool.h"

#include "layers/windows.h"

namespace encke {
namespace {

class AveragePool : public Layer {
 public:
  explicit AveragePool(const AveragePoolOptions& options)
      : options_(options), window_(options.window) {}

  std::string type() const override { return "average_pool"; }

  std::vector<Shape> InferShapes(const std::vector<Shape>& inputs) override {
    const Shape& input = OnlyInput(inputs);
    if (options_.output_h > 0 || options_.output_w > 0) SetAdaptiveWindow(input);
    return {PooledShape(window_, options_.ceil_mode, input)};
  }

  void Forward(ForwardContext& context) const override {
    context.backend.AveragePoolForward(window_, context.inputs[0], context.outputs[0]);
  }

  void Backward(BackwardContext& context) const override {
    if (!context.input_gradients[0].defined()) return;
    context.backend.AveragePoolBackward(window_, context.output_gradients[0],
                                        context.input_gradients[0]);
  }

 private:
  void SetAdaptiveWindow(const Shape& input) {
    const int64_t h = options_.output_h, w = options_.output_w;
    if (h < 1 || w < 1 || input.h % h != 0 || input.w % w != 0) {
      throw Error(
          ErrorKind::CONFIG,
          StrCat("adaptive average pool to ", h, "x", w, " of an input of ", input.h, "x", input.w),
          "",
          "the output's size must divide the input's: choose another output (1x1 always "
          "fits) or image size");
    }
    window_ = PoolOptions();
    window_.kernel_h = window_.stride_h = input.h / h;
    window_.kernel_w = window_.stride_w = input.w / w;
  }

  AveragePoolOptions options_;
  PoolOptions window_;  // in use
};

}  // namespace

std::unique_ptr<Layer> NewAveragePool(const AveragePoolOptions& options) {
  return std::make_unique<AveragePool>(options);
}

}  // namespace encke
