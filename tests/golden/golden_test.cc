// Two training steps of a small network of each family give PyTorch's losses, gradients and
// parameters (make_golden.py).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/graph/executor.h"
#include "engine/train/optimizer.h"
#include "engine/train/safetensors.h"
#include "tests/golden/golden_networks.h"

namespace encke {
namespace {

using Values = std::vector<float>;

// Tensors and settings of one golden file.
class Golden {
 public:
  explicit Golden(const std::string& network)
      : reader_("tests/golden/" + network + ".safetensors") {}

  float setting(const std::string& key) const { return std::stof(reader_.metadata().at(key)); }

  template <typename T>
  std::vector<T> Read(const std::string& name) const {
    const SafetensorsEntry& entry = reader_.tensors().at(name);
    std::vector<T> values(entry.bytes() / sizeof(T));
    reader_.Read(name, 0, entry.bytes(), values.data());
    return values;
  }

  Batch ReadBatch(Backend* backend) const {
    const std::vector<int64_t>& s = reader_.tensors().at("images").shape;
    Batch batch;
    batch.images = Tensor::Empty(backend->allocator(), {s[0], s[1], s[2], s[3]}, DType::U8,
                                 MemoryCategory::DATA);
    batch.labels =
        Tensor::Empty(backend->allocator(), {s[0], 1, 1, 1}, DType::I32, MemoryCategory::DATA);
    backend->CopyFromHost(Read<uint8_t>("images").data(), batch.images);
    backend->CopyFromHost(Read<int32_t>("labels").data(), batch.labels);
    return batch;
  }

 private:
  SafetensorsReader reader_;
};

ExecutorOptions OptionsOf(const Golden& golden, bool compress) {
  ExecutorOptions options;
  options.plan.compress = compress;
  options.mean = {golden.setting("mean")};
  options.std = {golden.setting("std")};
  return options;
}

OptimizerOptions OptimizerOf(const Golden& golden) {
  OptimizerOptions options;
  options.momentum = golden.setting("momentum");
  options.weight_decay = golden.setting("weight_decay");
  return options;
}

void ExpectNear(const Values& values, const Values& expected, double tolerance,
                const std::string& what) {
  ASSERT_EQ(values.size(), expected.size()) << what;
  double scale = 0.1;  // gradients that are zero but for rounding (a bias before a batch norm)
  for (const float value : expected) scale = std::max(scale, std::abs(double{value}));
  for (size_t i = 0; i < values.size(); ++i) {
    ASSERT_NEAR(values[i], expected[i], tolerance * scale) << what << ", element " << i;
  }
}

class GoldenTest : public testing::TestWithParam<bool> {
 protected:
  // Tensors of the executor, those that are defined, against golden ones.
  void Compare(const std::vector<Tensor>& tensors, const std::string& prefix, double tolerance) {
    for (size_t i = 0; i < tensors.size(); ++i) {
      if (!tensors[i].defined()) continue;
      Values values(tensors[i].elements());
      backend_->CopyToHost(tensors[i], values.data());
      const std::string name = prefix + executor_->graph().parameters[i].name;
      ExpectNear(values, golden_->Read<float>(name), tolerance, name);
    }
  }

  void LoadParameters() {
    for (size_t i = 0; i < executor_->parameters().size(); ++i) {
      const Tensor& tensor = executor_->parameters()[i];
      const Values values = golden_->Read<float>("param." + executor_->graph().parameters[i].name);
      ASSERT_EQ(static_cast<int64_t>(values.size()), tensor.elements());
      backend_->CopyFromHost(values.data(), tensor);
    }
  }

  double Loss(const std::string& name) { return golden_->Read<float>(name)[0]; }

  // In either pool; the compressed one keeps every value without error here.
  void Check(const std::string& network, Graph graph) {
    backend_ = NewBackend(Device::Parse("cpu"));
    golden_ = std::make_unique<Golden>(network);
    executor_ =
        std::make_unique<Executor>(std::move(graph), *backend_, OptionsOf(*golden_, GetParam()));
    const Batch batch = golden_->ReadBatch(backend_.get());
    LoadParameters();
    executor_->Prepare(batch.size());
    std::vector<ParameterSpec> specs;
    for (const Parameter& p : executor_->graph().parameters) specs.push_back(p.spec);
    Optimizer optimizer(specs, *backend_, OptimizerOf(*golden_));

    TrainOptions exact;
    exact.exact = true;
    const StepResult first = executor_->Train(batch, 1, exact);
    EXPECT_NEAR(first.loss / batch.size(), Loss("loss"), 1e-5);
    Compare(executor_->gradients(), "grad.", 1e-5);
    optimizer.Step(executor_->parameters(), executor_->gradients(), golden_->setting("lr"));
    const StepResult second = executor_->Train(batch, 2, exact);
    EXPECT_NEAR(second.loss / batch.size(), Loss("second_loss"), 2e-5);
    optimizer.Step(executor_->parameters(), executor_->gradients(), golden_->setting("lr"));
    Compare(executor_->parameters(), "after.", 1e-5);
    const StepResult evaluation = executor_->Evaluate(batch);
    EXPECT_NEAR(evaluation.loss / batch.size(), Loss("evaluation_loss"), 2e-5);
  }

 private:
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Golden> golden_;
  std::unique_ptr<Executor> executor_;
};

TEST_P(GoldenTest, AlexNetLike) { Check("alexnet", AlexNetLike()); }
TEST_P(GoldenTest, VggLike) { Check("vgg", VggLike()); }
TEST_P(GoldenTest, ResNetLike) { Check("resnet", ResNetLike()); }
TEST_P(GoldenTest, InceptionLike) { Check("inception", InceptionLike()); }

INSTANTIATE_TEST_SUITE_P(Pools, GoldenTest, testing::Bool(), [](const auto& mode) {
  return std::string(mode.param ? "Compressed" : "Raw");
});

}  // namespace
}  // namespace encke
