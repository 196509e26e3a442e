#include "engine/train/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/train/ema.h"

namespace encke {
namespace {

// One weight, one bias and one statistic of two elements each.
class OptimizerTest : public testing::Test {
 protected:
  OptimizerTest() : backend_(NewBackend(Device())) {
    for (const auto role :
         {ParameterSpec::Role::WEIGHT, ParameterSpec::Role::BIAS, ParameterSpec::Role::STATISTIC}) {
      ParameterSpec spec;
      spec.shape = Shape::Vector(2);
      spec.role = role;
      specs_.push_back(spec);
      parameters_.push_back(New({1, 2}));
      gradients_.push_back(spec.trained() ? New({3, 4}) : Tensor());
    }
  }

  Tensor New(const std::vector<float>& values) {
    Tensor tensor =
        Tensor::Empty(backend_->allocator(), Shape::Vector(static_cast<int64_t>(values.size())),
                      DType::F32, MemoryCategory::PARAMETER);
    backend_->CopyFromHost(values.data(), tensor);
    return tensor;
  }

  float At(int parameter, int element) { return parameters_[parameter].data<float>()[element]; }

  std::unique_ptr<Backend> backend_;
  std::vector<ParameterSpec> specs_;
  std::vector<Tensor> parameters_, gradients_;
};

TEST_F(OptimizerTest, MomentumAddsUp) {
  OptimizerOptions options;
  options.momentum = 0.5f;
  Optimizer optimizer(specs_, *backend_, options);
  optimizer.Step(parameters_, gradients_, 0.1);
  EXPECT_FLOAT_EQ(At(0, 0), 1 - 0.1f * 3);
  optimizer.Step(parameters_, gradients_, 0.1);
  EXPECT_FLOAT_EQ(At(0, 0), 1 - 0.1f * 3 - 0.1f * 4.5f);
  EXPECT_FLOAT_EQ(At(2, 0), 1) << "statistics are not trained";
  EXPECT_FLOAT_EQ(optimizer.velocity()[1].data<float>()[1], 6);
  EXPECT_FALSE(optimizer.velocity()[2].defined());
}

TEST_F(OptimizerTest, NesterovLooksAhead) {
  OptimizerOptions options;
  options.momentum = 0.5f;
  options.nesterov = true;
  Optimizer(specs_, *backend_, options).Step(parameters_, gradients_, 0.1);
  EXPECT_FLOAT_EQ(At(0, 0), 1 - 0.1f * (3 + 0.5f * 3));
}

TEST_F(OptimizerTest, DecayCanSpareBiasAndNorm) {
  OptimizerOptions options;
  options.momentum = 0;
  options.weight_decay = 0.5f;
  options.decay_bias_and_norm = false;
  Optimizer optimizer(specs_, *backend_, options);
  optimizer.Step(parameters_, gradients_, 0.1);
  EXPECT_FLOAT_EQ(At(0, 1), 2 - 0.1f * (4 + 0.5f * 2));
  EXPECT_FLOAT_EQ(At(1, 1), 2 - 0.1f * 4);
  EXPECT_FALSE(optimizer.velocity()[0].defined()) << "no memory for momentum that is not used";
}

TEST_F(OptimizerTest, ClippingScalesAllGradientsByTheirCommonNorm) {
  OptimizerOptions options;
  options.momentum = 0;
  options.clip_norm = 1;
  Optimizer(specs_, *backend_, options).Step(parameters_, gradients_, 1);
  const float norm = std::sqrt(50.0f);  // of (3, 4, 3, 4)
  EXPECT_NEAR(At(0, 0), 1 - 3 / norm, 1e-5);
  options.clip_norm = 100;
  parameters_[0] = New({1, 2});
  Optimizer(specs_, *backend_, options).Step(parameters_, gradients_, 1);
  EXPECT_FLOAT_EQ(At(0, 0), 1 - 3) << "smaller gradients are not enlarged";
}

TEST_F(OptimizerTest, MomentumIsChargedAsOptimizerMemory) {
  const Optimizer optimizer(specs_, *backend_, {});
  EXPECT_EQ(backend_->allocator().ledger().Current().of(MemoryCategory::OPTIMIZER), 16);
}

TEST_F(OptimizerTest, AverageFollowsAndSwaps) {
  WeightAverage average(parameters_, *backend_, 0.9);
  parameters_[0] = New({11, 12});
  average.Update(parameters_);  // first decay: 2 / 11
  EXPECT_NEAR(average.average()[0].data<float>()[0], 1 * 2 / 11.0 + 11 * 9 / 11.0, 1e-5);
  average.Swap(parameters_);
  EXPECT_NEAR(At(0, 0), 1 * 2 / 11.0 + 11 * 9 / 11.0, 1e-5);
  average.Swap(parameters_);
  EXPECT_EQ(At(0, 0), 11);
  for (int i = 0; i < 300; ++i) average.Update(parameters_);
  EXPECT_NEAR(average.average()[0].data<float>()[0], 11, 1e-3);
}

}  // namespace
}  // namespace encke
