// The ways to compute a convolution, each against plain loops.
#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "engine/backend/cpu/conv_direct.h"
#include "engine/backend/cpu/conv_flipped.h"
#include "engine/backend/cpu/conv_gemm.h"
#include "engine/backend/cpu/conv_winograd.h"
#include "engine/backend/cpu/conv_winograd_filter.h"
#include "engine/backend/cpu/simd.h"
#include "engine/core/parallel.h"
#include "tests/engine/backend/backend_testing.h"
#include "tests/engine/backend/conv_cases.h"

namespace encke {
namespace {

constexpr double kTolerance = 2e-6;  // fp32 sums of up to a few thousand products
constexpr double kWinogradTolerance = 1e-5;

// The kernels that this machine can run, whatever oneDNN is held to.
std::vector<const cpu::winograd::Kernels*> UsableKernels() {
  using namespace cpu::winograd;
  if (cpu::DetectVectorUnit() == cpu::VectorUnit::AVX512) return {&Avx2Kernels(), &Avx512Kernels()};
  if (cpu::DetectVectorUnit() == cpu::VectorUnit::AVX2) return {&Avx2Kernels()};
  return {};
}

// Beside those of Cases(): all kinds of borders, several chunks, channels left over from blocks.
std::vector<ConvCase> WinogradCases() {
  std::vector<ConvCase> cases = Cases();
  for (int64_t h = 1; h <= 9; ++h)
    cases.push_back({"size", {2, h, 10 - h, 16}, 32, Options(3, 1, 1)});
  for (int64_t pad : {0, 1, 2, 3}) cases.push_back({"pad", {2, 8, 7, 16}, 16, Options(3, 1, pad)});
  cases.push_back({"uneven pads", {1, 6, 7, 32}, 16, {3, 3, 1, 1, 1, 1, 0, 2, 2, 1, 1}});
  cases.push_back({"many tiles", {3, 32, 36, 16}, 16, Options(3, 1, 1)});
  cases.push_back({"channels left over", {2, 9, 9, 80}, 144, Options(3, 1, 1)});
  return cases;
}

// Every way to compute a convolution computes every case that it can, whichever would be chosen.
// Kernels work on padded channels in scratch memory, where an earlier call's rubbish may lie.
class ConvPlanTest : public BackendTest {
 protected:
  struct Problem {
    Shape y, w;
    Values vx, vw, vdy, vbias;
  };

  Problem MakeProblem(const ConvCase& c) {
    const Shape y = reference::ConvOutput(c.o, c.x, c.k);
    const Shape w = {c.k, c.o.kernel_h, c.o.kernel_w, c.x.c / c.o.groups};
    return {y, w, Random(c.x.elements()), Random(w.elements()), Random(y.elements()), Random(c.k)};
  }

  cpu::ConvCall MakeCall(cpu::ConvKind kind, const ConvCase& c, bool bias = true) {
    return {kind, c.o, c.x, reference::ConvOutput(c.o, c.x, c.k), dtype(), bias, false};
  }

  void Run(cpu::ConvPlan& plan, const cpu::ConvBuffers& buffers) {
    workspace_.Reserve(std::max<int64_t>(plan.workspace_bytes(), 1));
    std::memset(workspace_.At(0), 0xFF, plan.workspace_bytes());  // NaN
    plan.Run(stream_, workspace_, buffers);
  }

  void CheckForward(cpu::ConvPlan& plan, const ConvCase& c, double tolerance = kTolerance) {
    const Problem p = MakeProblem(c);
    const Tensor x = MakeActivation(c.x, p.vx), w = Make(p.w, DType::F32, p.vw);
    const Tensor bias = MakeVector(p.vbias), y = Make(p.y, dtype());
    Run(plan, {x.raw(), w.raw(), bias.raw(), y.raw()});
    ExpectClose(y, reference::ConvForward(c.o, c.x, p.vx, p.vw, p.vbias, p.y), tolerance);
  }

  void CheckBackwardData(cpu::ConvPlan& plan, const ConvCase& c, double tolerance = kTolerance) {
    const Problem p = MakeProblem(c);
    const Tensor dy = MakeActivation(p.y, p.vdy), w = Make(p.w, DType::F32, p.vw);
    const Tensor dx = Make(c.x, dtype());
    Run(plan, {dx.raw(), w.raw(), nullptr, dy.raw()});
    ExpectClose(dx, reference::ConvBackwardData(c.o, p.y, p.vdy, p.vw, c.x), tolerance);
  }

  // `adding` is the same plan, made to accumulate.
  void CheckBackwardFilter(cpu::ConvPlan& plan, cpu::ConvPlan& adding, const ConvCase& c,
                           double tolerance = kTolerance) {
    const Problem p = MakeProblem(c);
    const Tensor x = MakeActivation(c.x, p.vx), dy = MakeActivation(p.y, p.vdy);
    const Tensor dw = Make(p.w, DType::F32), db = Make(Shape::Vector(c.k), DType::F32);
    Values expected = reference::ConvBackwardFilter(c.o, c.x, p.vx, p.y, p.vdy);
    Values expected_bias = reference::SumToChannels(p.y, p.vdy);
    for (cpu::ConvPlan* each : {&plan, &adding}) {
      Run(*each, {x.raw(), dw.raw(), db.raw(), dy.raw()});
      ExpectClose(dw, expected, tolerance);
      ExpectClose(db, expected_bias, tolerance);
      for (double& v : expected) v *= 2.0;
      for (double& v : expected_bias) v *= 2.0;
    }
  }

  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  std::unique_ptr<Backend> cpu_ = NewBackend({});
  Workspace workspace_{&cpu_->allocator()};
};

TEST_P(ConvPlanTest, Direct) {
  for (const ConvCase& c : Cases()) {
    SCOPED_TRACE(Describe(c));
    cpu::DirectConv forward(MakeCall(cpu::ConvKind::FORWARD, c), engine_);
    CheckForward(forward, c);
    cpu::DirectConv data(MakeCall(cpu::ConvKind::BACKWARD_DATA, c, false), engine_);
    CheckBackwardData(data, c);
    cpu::ConvCall call = MakeCall(cpu::ConvKind::BACKWARD_FILTER, c);
    cpu::DirectConv filter(call, engine_);
    call.accumulate = true;
    cpu::DirectConv adding(call, engine_);
    CheckBackwardFilter(filter, adding, c);
  }
}

TEST_P(ConvPlanTest, GemmInOneBlockAndInMany) {
  if (dtype() != DType::F32) GTEST_SKIP() << "fp32 only";
  for (const ConvCase& c : Cases()) {
    SCOPED_TRACE(Describe(c));
    if (!cpu::GemmConv::Computes(MakeCall(cpu::ConvKind::FORWARD, c))) continue;
    for (int64_t rows_bytes : {int64_t{0}, int64_t{1} << 14, cpu::GemmConv::kMaxRowsBytes}) {
      cpu::GemmConv forward(MakeCall(cpu::ConvKind::FORWARD, c), engine_, rows_bytes);
      CheckForward(forward, c);
      cpu::ConvCall call = MakeCall(cpu::ConvKind::BACKWARD_FILTER, c);
      cpu::GemmConv filter(call, engine_, rows_bytes);
      call.accumulate = true;
      cpu::GemmConv adding(call, engine_, rows_bytes);
      CheckBackwardFilter(filter, adding, c);
    }
  }
}

TEST_P(ConvPlanTest, Flipped) {
  int computed = 0;
  for (const ConvCase& c : Cases()) {
    SCOPED_TRACE(Describe(c));
    const cpu::ConvCall call = MakeCall(cpu::ConvKind::BACKWARD_DATA, c, false);
    if (!cpu::FlippedConv::Computes(call)) continue;
    cpu::FlippedConv plan(call, engine_);
    CheckBackwardData(plan, c);
    ++computed;
  }
  EXPECT_GT(computed, 30);
}

TEST_P(ConvPlanTest, WinogradInOneGroupAndInMany) {
  if (dtype() != DType::F32) GTEST_SKIP() << "fp32 only";
  for (const cpu::winograd::Kernels* kernels : UsableKernels()) {
    for (const ConvCase& c : WinogradCases()) {
      SCOPED_TRACE(StrCat(kernels->name, ", ", Describe(c)));
      const cpu::ConvCall call = MakeCall(cpu::ConvKind::FORWARD, c);
      if (!cpu::WinogradConv::Computes(call)) continue;
      for (int64_t bytes : {int64_t{0}, cpu::WinogradConv::kMaxFilterBytes}) {
        cpu::WinogradConv forward(call, *kernels, bytes);
        CheckForward(forward, c, kWinogradTolerance);
        const cpu::ConvCall data_call = MakeCall(cpu::ConvKind::BACKWARD_DATA, c, false);
        cpu::WinogradConv data(data_call, *kernels, bytes);
        CheckBackwardData(data, c, kWinogradTolerance);
      }
    }
  }
}

TEST_P(ConvPlanTest, WinogradFilterInOneAreaAndInMany) {
  if (dtype() != DType::F32) GTEST_SKIP() << "fp32 only";
  for (const cpu::winograd::Kernels* kernels : UsableKernels()) {
    for (const ConvCase& c : WinogradCases()) {
      SCOPED_TRACE(StrCat(kernels->name, ", ", Describe(c)));
      cpu::ConvCall call = MakeCall(cpu::ConvKind::BACKWARD_FILTER, c);
      if (!cpu::WinogradFilterConv::Computes(call)) continue;
      for (int64_t bytes : {int64_t{0}, cpu::WinogradFilterConv::kMaxProductBytes}) {
        call.accumulate = false;
        cpu::WinogradFilterConv filter(call, *kernels, bytes);
        call.accumulate = true;
        cpu::WinogradFilterConv adding(call, *kernels, bytes);
        CheckBackwardFilter(filter, adding, c, kWinogradTolerance);
      }
    }
  }
}

// Every thread does its own part, and no part depends on how many there are.
TEST_P(ConvPlanTest, WinogradComputesTheSameBytesWithAnyThreads) {
  if (dtype() != DType::F32) GTEST_SKIP() << "fp32 only";
  const ConvCase c = {"threads", {3, 13, 14, 48}, 80, Options(3, 1, 1)};
  const Problem p = MakeProblem(c);
  const Tensor x = MakeActivation(c.x, p.vx), w = Make(p.w, DType::F32, p.vw);
  const Tensor dy = MakeActivation(p.y, p.vdy);
  const int before = Threads();
  for (const cpu::winograd::Kernels* kernels : UsableKernels()) {
    const auto run = [&](int threads, const Tensor& y, const Tensor& dw) {
      SetThreads(threads);
      cpu::WinogradConv forward(MakeCall(cpu::ConvKind::FORWARD, c, false), *kernels);
      Run(forward, {x.raw(), w.raw(), nullptr, y.raw()});
      cpu::WinogradFilterConv filter(MakeCall(cpu::ConvKind::BACKWARD_FILTER, c, false), *kernels);
      Run(filter, {x.raw(), dw.raw(), nullptr, dy.raw()});
    };
    const Tensor y = Make(p.y, dtype()), dw = Make(p.w, DType::F32);
    run(1, y, dw);
    for (int threads : {2, 3, 7}) {
      const Tensor other_y = Make(p.y, dtype()), other_dw = Make(p.w, DType::F32);
      run(threads, other_y, other_dw);
      ExpectIdentical(y, other_y);
      ExpectIdentical(dw, other_dw);
    }
  }
  SetThreads(before);
}

// However large the batch and the images.
TEST_P(ConvPlanTest, WinogradsWorkspaceIsBounded) {
  const auto bytes = [&](cpu::ConvKind kind, int64_t n, int64_t size) {
    const ConvCase c = {"", {n, size, size, 64}, 64, Options(3, 1, 1)};
    const cpu::ConvCall call = MakeCall(kind, c, false);
    if (kind == cpu::ConvKind::BACKWARD_FILTER)
      return cpu::WinogradFilterConv(call, cpu::winograd::Avx2Kernels()).workspace_bytes();
    return cpu::WinogradConv(call, cpu::winograd::Avx2Kernels()).workspace_bytes();
  };
  for (auto kind :
       {cpu::ConvKind::FORWARD, cpu::ConvKind::BACKWARD_DATA, cpu::ConvKind::BACKWARD_FILTER}) {
    EXPECT_EQ(bytes(kind, 8, 56), bytes(kind, 1024, 224));
    EXPECT_LE(bytes(kind, 8, 56), (Threads() + 1) * (int64_t{2} << 20));
  }
}

// The layers that the rules were made for, at a batch of their size.
TEST_P(ConvPlanTest, RulesChooseByShape) {
  const auto gemm = [&](const Shape& x, int64_t k, const ConvOptions& o) {
    return cpu::GemmConv::Wins(MakeCall(cpu::ConvKind::BACKWARD_FILTER, {"", x, k, o}));
  };
  const bool fp32 = dtype() == DType::F32;
  EXPECT_EQ(gemm({64, 4, 4, 512}, 512, Options(3, 1, 1)), fp32);
  EXPECT_EQ(gemm({8, 56, 56, 128}, 128, Options(3, 2, 1)), fp32);
  EXPECT_FALSE(gemm({64, 28, 28, 64}, 64, Options(3, 1, 1)));
  EXPECT_FALSE(gemm({64, 7, 7, 256}, 256, Options(3, 1, 1)));
  const auto winograd = [&](cpu::ConvKind kind, const Shape& x, int64_t k, const ConvOptions& o) {
    const cpu::ConvCall call = MakeCall(kind, {"", x, k, o}, false);
    return cpu::WinogradConv::Wins(call) || cpu::WinogradFilterConv::Wins(call);
  };
  for (auto kind :
       {cpu::ConvKind::FORWARD, cpu::ConvKind::BACKWARD_DATA, cpu::ConvKind::BACKWARD_FILTER}) {
    EXPECT_EQ(winograd(kind, {64, 28, 28, 64}, 64, Options(3, 1, 1)), fp32);
    EXPECT_EQ(winograd(kind, {8, 7, 7, 512}, 512, Options(3, 1, 1)), fp32);
    EXPECT_FALSE(winograd(kind, {64, 28, 28, 64}, 128, Options(3, 2, 1)));
    EXPECT_FALSE(winograd(kind, {64, 32, 32, 16}, 16, Options(3, 1, 1)));
    EXPECT_FALSE(winograd(kind, {8, 224, 224, 3}, 64, Options(3, 1, 1)));
    EXPECT_FALSE(winograd(kind, {1, 7, 7, 512}, 512, Options(3, 1, 1)));
  }
  const auto flipped = [&](const Shape& x, int64_t k, const ConvOptions& o) {
    return cpu::FlippedConv::Wins(MakeCall(cpu::ConvKind::BACKWARD_DATA, {"", x, k, o}, false));
  };
  const bool avx512 = cpu::DnnlDescription().find("avx512") != std::string::npos;
  EXPECT_EQ(flipped({8, 28, 28, 512}, 512, Options(3, 1, 1)), avx512);
  EXPECT_FALSE(flipped({64, 4, 4, 512}, 512, Options(3, 1, 1)));
  EXPECT_FALSE(flipped({64, 28, 28, 64}, 128, Options(3, 2, 1)));
}

INSTANTIATE_TEST_SUITE_P(Types, ConvPlanTest, ::testing::ValuesIn(CpuCases()), NameOfParam);

}  // namespace
}  // namespace encke
