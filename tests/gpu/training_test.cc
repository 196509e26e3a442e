// Whole iterations on a GPU: what the executor, the plan, the pool's stream and the kernels make of
// them together.
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "engine/core/error.h"
#include "tests/engine/graph/test_networks.h"
#include "tests/engine/graph/trainee.h"

namespace encke {
namespace {

class GpuTrainingTest : public ::testing::Test {
 protected:
  void SetUp() override {
    try {
      NewGpu();
    } catch (const Error& error) {
      if (std::getenv("ENCKE_TEST_DEVICE") != nullptr) throw;
      GTEST_SKIP() << error.what();
    }
  }
  static std::unique_ptr<Backend> NewGpu() {
    BackendOptions options;
    options.tf32 = false;
    return NewBackend({Device::Type::CUDA, 0}, options);
  }
};

PlanOptions Raw() {
  PlanOptions options;
  options.compress = false;
  return options;
}

PlanOptions Compressed(const char* codec, int64_t slice) {
  PlanOptions options = InSlices(slice);
  for (SavedPolicy& policy : options.policies) policy = PolicyOf(codec);
  return options;
}

TEST_F(GpuTrainingTest, GradientsAreTheCpus) {
  for (int which = 0; which < kTestNetworks; ++which) {
    SCOPED_TRACE(which);
    Trainee cpu(TestNetwork(which), Raw()), gpu(TestNetwork(which), Raw(), 0.05, 6, NewGpu());
    EXPECT_LT(RelativeDifference(gpu.Gradients(), cpu.Gradients()), 1e-4);
  }
}

// Without loss they are raw training's, whatever is stored, decoded and made twice in between.
TEST_F(GpuTrainingTest, ExactGradientsAreRawOnes) {
  TrainOptions exact;
  exact.exact = true;
  for (int which = 0; which < kTestNetworks; ++which) {
    Trainee raw(TestNetwork(which), Raw(), 0.05, 6, NewGpu());
    const std::vector<float> expected = raw.Gradients();
    for (const char* codec : {"fast", "dense"}) {
      for (int64_t slice : {0, 1, 4}) {
        SCOPED_TRACE(StrCat(which, " ", codec, " ", slice));
        Trainee gpu(TestNetwork(which), Compressed(codec, slice), 0.05, 6, NewGpu());
        for (int time : {1, 2}) {
          EXPECT_LT(RelativeDifference(gpu.Gradients(exact), expected), 1e-5) << time;
        }
      }
    }
  }
}

TEST_F(GpuTrainingTest, NoiseIsOfTheCpusSize) {
  for (int which = 0; which < kTestNetworks; ++which) {
    Trainee raw(TestNetwork(which), Raw());
    const std::vector<float> expected = raw.Gradients();
    for (const char* codec : {"fast", "dense", "auto"}) {
      SCOPED_TRACE(StrCat(which, " ", codec));
      PlanOptions plan = Compressed(codec, 2);
      if (codec == std::string("auto")) plan.assumed_ratio = 0.5;  // from dense to fast
      Trainee cpu(TestNetwork(which), plan);
      Trainee gpu(TestNetwork(which), plan, 0.05, 6, NewGpu());
      for (int64_t iteration : {1, 2, 3}) {
        const double noise = RelativeDifference(gpu.Gradients({}, iteration), expected);
        EXPECT_GT(noise, 0);
        EXPECT_LT(noise, 2 * RelativeDifference(cpu.Gradients({}, iteration), expected));
      }
    }
  }
}

// As where values take more than a memory limit's plan foresees: pool, arena and programs are new.
TEST_F(GpuTrainingTest, GoesOnByAnotherPlan) {
  TrainOptions exact;
  exact.exact = true;
  Trainee raw(ResidualNetwork(), Raw(), 0.05, 64, NewGpu());
  const std::vector<float> expected = raw.Gradients();
  for (const char* codec : {"fast", "dense", "auto"}) {
    SCOPED_TRACE(codec);
    std::unique_ptr<Backend> backend = NewGpu();
    backend->allocator().set_limit(256 << 20);
    Trainee gpu(ResidualNetwork(), Compressed(codec, 8), 0.05, 64, std::move(backend));
    gpu.Gradients();
    ASSERT_TRUE(gpu.executor().PrepareForRatio(1.5));
    EXPECT_LT(RelativeDifference(gpu.Gradients(exact, 2), expected), 1e-5);
    gpu.Gradients({}, 3);
    EXPECT_LE(gpu.ledger().Peak().total(), 256 << 20);
  }
}

// Beside what the backend holds whether or not it trains.
TEST_F(GpuTrainingTest, ThePeakIsThePredictedOne) {
  for (const char* codec : {"fast", "dense", "auto"}) {
    for (int64_t slice : {0, 32}) {
      SCOPED_TRACE(StrCat(codec, " ", slice));
      std::unique_ptr<Backend> backend = NewGpu();
      const int64_t before = backend->allocator().ledger().Current().total();
      Trainee gpu(ResidualNetwork(), Compressed(codec, slice), 0.05, 128, std::move(backend));
      for (int64_t iteration = 1; iteration <= 3; ++iteration) gpu.Gradients({}, iteration);
      const auto predicted = static_cast<double>(gpu.executor().plan().peak.use.total());
      const auto measured = static_cast<double>(gpu.ledger().Peak().total() - before);
      EXPECT_NEAR(measured / predicted, 1, 0.1);
    }
  }
}

}  // namespace
}  // namespace encke
