#include "layers/max_pool.h"

#include "layers/windows.h"

namespace encke {
namespace {

class MaxPool : public Layer {
 public:
  explicit MaxPool(const MaxPoolOptions& options) : options_(options) {}

  std::string type() const override { return "max_pool"; }

  std::vector<Shape> InferShapes(const std::vector<Shape>& inputs) override {
    output_ = PooledShape(options_.window, options_.ceil_mode, OnlyInput(inputs));
    const PoolOptions& o = options_.window;
    if (o.kernel_h * o.kernel_w > 256) {  // the index is one byte
      throw Error(ErrorKind::CONFIG,
                  StrCat("max pool over ", o.kernel_h, "x", o.kernel_w, " = ",
                         o.kernel_h * o.kernel_w, " pixels"),
                  "", "at most 256 pixels, such as 16x16");
    }
    return {output_};
  }

  std::vector<StateSpec> States() const override {
    const int64_t places = options_.window.kernel_h * options_.window.kernel_w;
    const int bits = places <= 2 ? 1 : places <= 4 ? 2 : places <= 16 ? 4 : 0;
    return {{"index", output_, DType::U8, bits}};
  }

  void Forward(ForwardContext& context) const override {
    context.backend.MaxPoolForward(options_.window, context.inputs[0], context.outputs[0],
                                   context.state[0]);
  }

  void Backward(BackwardContext& context) const override {
    if (!context.input_gradients[0].defined()) return;
    context.backend.MaxPoolBackward(options_.window, context.state[0], context.output_gradients[0],
                                    context.input_gradients[0]);
  }

 private:
  MaxPoolOptions options_;
  Shape output_;
};

}  // namespace

std::unique_ptr<Layer> NewMaxPool(const MaxPoolOptions& options) {
  return std::make_unique<MaxPool>(options);
}

}  // namespace encke
