// Several steps in one pass over memory: that they are, and that nothing else comes of it.
#include <gtest/gtest.h>

#include "engine/backend/cpu/cpu_backend.h"
#include "tests/engine/graph/test_networks.h"
#include "tests/engine/graph/trainee.h"

namespace encke {
namespace {

struct Calls {
  int norm_sums = 0, relus = 0, sums = 0, gated_sums = 0, relu_gradients = 0;
  int outputs_read = 0;  // by batch norms with a ReLU, of what the ReLU made
};

class CountingBackend : public cpu::CpuBackend {
 public:
  explicit CountingBackend(Calls* calls) : calls_(calls) {}
  void BatchNormApplyAdd(const NormChannels& norm, const Tensor& x, const Tensor& addend,
                         const Tensor& y) override {
    ++calls_->norm_sums;
    CpuBackend::BatchNormApplyAdd(norm, x, addend, y);
  }
  void ReluForward(const Tensor& x, const Tensor& y) override {
    ++calls_->relus;
    CpuBackend::ReluForward(x, y);
  }
  void ReluBackward(const Tensor& y, const Tensor& dy, const Tensor& dx) override {
    ++calls_->relu_gradients;
    CpuBackend::ReluBackward(y, dy, dx);
  }
  void Add(const Tensor& a, const Tensor& b, const Tensor& y) override {
    ++calls_->sums;
    CpuBackend::Add(a, b, y);
  }
  void AddReluBackward(const Tensor& y, const Tensor& a, const Tensor& b,
                       const Tensor& dx) override {
    ++calls_->gated_sums;
    CpuBackend::AddReluBackward(y, a, b, dx);
  }
  void BatchNormBackwardApply(const NormChannels& norm, const Tensor& x, const Tensor& y,
                              const Tensor& sums, int64_t count, const Tensor& dy,
                              const Tensor& dx) override {
    calls_->outputs_read += norm.relu && y.defined();
    CpuBackend::BatchNormBackwardApply(norm, x, y, sums, count, dy, dx);
  }

 private:
  Calls* calls_;
};

PlanOptions Raw() {
  PlanOptions options;
  options.compress = false;
  return options;
}

TEST(FusionTest, EndsOfBlocksTakeOnePassEachWay) {
  Calls calls;
  Trainee trainee(BottleneckNetwork(), Raw(), 0.05, 6, std::make_unique<CountingBackend>(&calls));
  trainee.Gradients();
  EXPECT_EQ(calls.norm_sums, 3);
  EXPECT_EQ(calls.relus, 1) << "before the blocks";
  EXPECT_EQ(calls.gated_sums, 3) << "before each block";
  EXPECT_EQ(calls.relu_gradients, 1) << "behind the last block, where nothing is added up";
  EXPECT_EQ(calls.sums, 0);
  EXPECT_EQ(calls.outputs_read, 0);
}

// Of a compressing plan, which keeps the sums, the passes are others.
TEST(FusionTest, BitsStayAsTheyWere) {
  for (int network = 0; network < kTestNetworks; ++network) {
    for (DType compute : {DType::F32, DType::BF16}) {
      SCOPED_TRACE(network);
      PlanOptions raw = Raw(), compressing;
      raw.compute = compressing.compute = compute;
      if (!NewBackend({})->Supports(compute)) continue;
      TrainOptions exact;
      exact.exact = true;
      Trainee fused(TestNetwork(network), raw), apart(TestNetwork(network), compressing);
      EXPECT_EQ(fused.Gradients(), apart.Gradients(exact));
    }
  }
}

}  // namespace
}  // namespace encke
