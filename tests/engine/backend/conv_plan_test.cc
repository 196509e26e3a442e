// The ways to compute a convolution, each against plain loops.
#include <algorithm>
#include <cstring>
#include <string>

#include "engine/backend/cpu/conv_direct.h"
#include "engine/backend/cpu/conv_flipped.h"
#include "engine/backend/cpu/conv_gemm.h"
#include "tests/engine/backend/backend_testing.h"
#include "tests/engine/backend/conv_cases.h"

namespace encke {
namespace {

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

  void CheckForward(cpu::ConvPlan& plan, const ConvCase& c) {
    const Problem p = MakeProblem(c);
    const Tensor x = MakeActivation(c.x, p.vx), w = Make(p.w, DType::F32, p.vw);
    const Tensor bias = MakeVector(p.vbias), y = Make(p.y, dtype());
    Run(plan, {x.raw(), w.raw(), bias.raw(), y.raw()});
    ExpectClose(y, reference::ConvForward(c.o, c.x, p.vx, p.vw, p.vbias, p.y), ProductTolerance());
  }

  void CheckBackwardData(cpu::ConvPlan& plan, const ConvCase& c) {
    const Problem p = MakeProblem(c);
    const Tensor dy = MakeActivation(p.y, p.vdy), w = Make(p.w, DType::F32, p.vw);
    const Tensor dx = Make(c.x, dtype());
    Run(plan, {dx.raw(), w.raw(), nullptr, dy.raw()});
    ExpectClose(dx, reference::ConvBackwardData(c.o, p.y, p.vdy, p.vw, c.x), ProductTolerance());
  }

  // `adding` is the same plan, made to accumulate.
  void CheckBackwardFilter(cpu::ConvPlan& plan, cpu::ConvPlan& adding, const ConvCase& c) {
    const Problem p = MakeProblem(c);
    const Tensor x = MakeActivation(c.x, p.vx), dy = MakeActivation(p.y, p.vdy);
    const Tensor dw = Make(p.w, DType::F32), db = Make(Shape::Vector(c.k), DType::F32);
    Values expected = reference::ConvBackwardFilter(c.o, c.x, p.vx, p.y, p.vdy);
    Values expected_bias = reference::SumToChannels(p.y, p.vdy);
    for (cpu::ConvPlan* each : {&plan, &adding}) {
      Run(*each, {x.raw(), dw.raw(), db.raw(), dy.raw()});
      ExpectClose(dw, expected, ProductTolerance());
      ExpectClose(db, expected_bias, ProductTolerance());
      for (double& v : expected) v *= 2.0;
      for (double& v : expected_bias) v *= 2.0;
    }
  }

  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  cpu::Workspace workspace_{&backend_->allocator()};
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
  const auto flipped = [&](const Shape& x, int64_t k, const ConvOptions& o) {
    return cpu::FlippedConv::Wins(MakeCall(cpu::ConvKind::BACKWARD_DATA, {"", x, k, o}, false));
  };
  const bool avx512 = cpu::DnnlDescription().find("avx512") != std::string::npos;
  EXPECT_EQ(flipped({8, 28, 28, 512}, 512, Options(3, 1, 1)), avx512);
  EXPECT_FALSE(flipped({64, 4, 4, 512}, 512, Options(3, 1, 1)));
  EXPECT_FALSE(flipped({64, 28, 28, 64}, 128, Options(3, 2, 1)));
}

INSTANTIATE_TEST_SUITE_P(Types, ConvPlanTest, ::testing::ValuesIn(BackendCases()), NameOfParam);

}  // namespace
}  // namespace encke
