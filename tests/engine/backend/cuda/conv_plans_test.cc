// What cuDNN would do on an H100, asked without one: plans are made for a GPU that is only
// described. So the descriptors are right, and the convolutions of the usual networks find kernels.
#include <gtest/gtest.h>

#include "engine/backend/cuda/cudnn_graph.h"
#include "tests/engine/backend/conv_cases.h"
#include "tests/reference/reference.h"

namespace encke::cuda {
namespace {

constexpr char kH100[] = R"({
  "deviceName": "NVIDIA H100 80GB HBM3", "cudaDeviceId": 0, "pciDeviceId": 0, "deviceVer": 900,
  "driverVer": 13000, "multiProcessorCount": 132, "warpSize": 32, "totalGlobalMem": 85000000000,
  "maxGridSize": [2147483647, 65535, 65535], "maxBlockSize": [1024, 1024, 64],
  "regsPerBlock": 65536, "maxRegistersPerSM": 65536, "maxSharedMemoryPerBlock": 49152,
  "maxSharedMemoryPerBlockOptin": 232448, "reservedSharedMemoryPerBlock": 1024, "maxCtasPerSM": 32,
  "maxThreadsPerBlock": 1024, "maxThreadsPerSM": 2048, "isTccDriver": 0, "supportCoopLaunch": 1,
  "smClockRateKHz": 1980000, "memClockRateKHz": 2619000, "l2CacheSize": 52428800})";
constexpr int64_t kAnyScratch = int64_t{16} << 30;
constexpr ConvKind kKinds[] = {ConvKind::FORWARD, ConvKind::BACKWARD_DATA,
                               ConvKind::BACKWARD_FILTER};

struct Precision {
  const char* name;
  DType dtype;
  bool tf32;
};

class ConvPlansTest : public ::testing::TestWithParam<Precision> {
 protected:
  static ConvProblem Problem(const ConvCase& c, ConvKind kind) {
    const Shape y = reference::ConvOutput(c.o, c.x, c.k);
    return ConvProblem{kind, c.o, c.x, y, GetParam().dtype, GetParam().tf32}.AsCudnnTakesIt();
  }

  const PlanTarget h100_ = PlanTarget::Described(kH100);
};

// Those of ResNet-50 and VGG-16 at 224, a batch of 128: one of each sort.
const ConvCase kOfNetworks[] = {
    {"stem", {128, 224, 224, 3}, 64, Options(7, 2, 3)},
    {"bottleneck 1x1", {128, 56, 56, 256}, 64, Options(1, 1, 0)},
    {"bottleneck 3x3", {128, 28, 28, 128}, 128, Options(3, 1, 1)},
    {"bottleneck 3x3 s2", {128, 28, 28, 256}, 256, Options(3, 2, 1)},
    {"projection", {128, 56, 56, 256}, 512, Options(1, 2, 0)},
    {"last stage", {128, 7, 7, 512}, 512, Options(3, 1, 1)},
    {"VGG's second", {128, 224, 224, 64}, 64, Options(3, 1, 1)},
};

TEST_P(ConvPlansTest, NetworksFindKernels) {
  for (const ConvCase& c : kOfNetworks) {
    for (ConvKind kind : kKinds) {
      const auto plans = ProposePlans(h100_, Problem(c, kind), 3, kAnyScratch);
      EXPECT_FALSE(plans.empty()) << Describe(c) << ", " << NameOf(kind);
      RecordProperty(StrCat(c.name, ", ", NameOf(kind)), static_cast<int>(plans.size()));
    }
  }
}

// Whatever has no kernel is computed in plain loops; this says how much that is.
TEST_P(ConvPlansTest, OddCasesFindKernelsOrNone) {
  int none = 0, all = 0;
  for (const ConvCase& c : Cases()) {
    for (ConvKind kind : kKinds) {
      ++all;
      if (!ProposePlans(h100_, Problem(c, kind), 1, kAnyScratch).empty()) continue;
      ++none;
      std::printf("no kernel: %s, %s\n", Describe(c).c_str(), NameOf(kind));
    }
  }
  EXPECT_LT(none, all / 10);
}

INSTANTIATE_TEST_SUITE_P(Precisions, ConvPlansTest,
                         ::testing::Values(Precision{"fp32", DType::F32, false},
                                           Precision{"tf32", DType::F32, true},
                                           Precision{"bf16", DType::BF16, false}),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace encke::cuda
