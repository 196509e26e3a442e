// Convolution and fully connected layers against plain loops.
#include <string>

#include "engine/backend/cpu/conv_plan.h"
#include "engine/core/error.h"
#include "engine/core/parallel.h"
#include "tests/engine/backend/backend_testing.h"
#include "tests/engine/backend/conv_cases.h"

namespace encke {
namespace {

using ConvTest = BackendTest;

TEST_P(ConvTest, Forward) {
  for (const ConvCase& c : Cases()) {
    SCOPED_TRACE(Describe(c));
    const Shape ys = reference::ConvOutput(c.o, c.x, c.k);
    const Shape ws = {c.k, c.o.kernel_h, c.o.kernel_w, c.x.c / c.o.groups};
    const Values x = Random(c.x.elements()), w = Random(ws.elements()), b = Random(c.k);
    const Tensor tx = MakeActivation(c.x, x), tw = Make(ws, DType::F32, w), y = Make(ys, dtype());
    const Tensor bias = MakeVector(b);
    backend_->ConvForward(c.o, tx, tw, &bias, y);
    ExpectClose(y, reference::ConvForward(c.o, c.x, x, w, b, ys), ProductTolerance());
    backend_->ConvForward(c.o, tx, tw, nullptr, y);
    ExpectClose(y, reference::ConvForward(c.o, c.x, x, w, {}, ys), ProductTolerance());
  }
}

TEST_P(ConvTest, BackwardData) {
  for (const ConvCase& c : Cases()) {
    SCOPED_TRACE(Describe(c));
    const Shape ys = reference::ConvOutput(c.o, c.x, c.k);
    const Shape ws = {c.k, c.o.kernel_h, c.o.kernel_w, c.x.c / c.o.groups};
    const Values dy = Random(ys.elements()), w = Random(ws.elements());
    const Tensor tdy = MakeActivation(ys, dy), tw = Make(ws, DType::F32, w);
    const Tensor dx = Make(c.x, dtype());
    backend_->ConvBackwardData(c.o, tdy, tw, dx);
    ExpectClose(dx, reference::ConvBackwardData(c.o, ys, dy, w, c.x), ProductTolerance());
  }
}

TEST_P(ConvTest, BackwardFilterOverwritesAndAccumulates) {
  for (const ConvCase& c : Cases()) {
    SCOPED_TRACE(Describe(c));
    const Shape ys = reference::ConvOutput(c.o, c.x, c.k);
    const Shape ws = {c.k, c.o.kernel_h, c.o.kernel_w, c.x.c / c.o.groups};
    const Values x = Random(c.x.elements()), dy = Random(ys.elements());
    const Tensor tx = MakeActivation(c.x, x), tdy = MakeActivation(ys, dy);
    const Tensor dw = Make(ws, DType::F32), db = Make(Shape::Vector(c.k), DType::F32);
    Values expected = reference::ConvBackwardFilter(c.o, c.x, x, ys, dy);
    Values expected_bias = reference::SumToChannels(ys, dy);
    backend_->ConvBackwardFilter(c.o, tx, tdy, dw, &db, false);
    ExpectClose(dw, expected, ProductTolerance());
    ExpectClose(db, expected_bias, ProductTolerance());
    backend_->ConvBackwardFilter(c.o, tx, tdy, dw, &db, true);
    for (double& v : expected) v *= 2.0;
    for (double& v : expected_bias) v *= 2.0;
    ExpectClose(dw, expected, ProductTolerance());
    ExpectClose(db, expected_bias, ProductTolerance());
    const Tensor without_bias = Make(ws, DType::F32);
    backend_->ConvBackwardFilter(c.o, tx, tdy, without_bias, nullptr, false);
    ExpectClose(without_bias, reference::ConvBackwardFilter(c.o, c.x, x, ys, dy),
                ProductTolerance());
  }
}

// The plan counts on the answer: calls take no more, and nothing of their own.
TEST_P(ConvTest, WorkspaceIsAsForetold) {
  const Shape x = {4, 14, 14, 32}, y = {4, 14, 14, 48}, w = {48, 3, 3, 32};
  const ConvOptions o = Options(3, 1, 1);
  const Tensor tx = MakeActivation(x, Random(x.elements())), dx = Make(x, dtype());
  const Tensor tw = Make(w, DType::F32, Random(w.elements())), ty = Make(y, dtype());
  const Tensor bias = MakeVector(Random(48));
  const auto run = [&](Pass pass) {
    const int64_t bytes = backend_->ConvWorkspaceBytes(o, x, y, dtype(), pass);
    const Tensor memory = Make(Shape::Vector(RoundUp(bytes, sizeof(float))), DType::U8);
    const int64_t before = backend_->allocator().ledger().Current().of(MemoryCategory::WORKSPACE);
    backend_->LendWorkspace(memory.raw(), bytes);
    if (pass == Pass::FORWARD) {
      backend_->ConvForward(o, tx, tw, nullptr, ty);
      backend_->ConvForward(o, tx, tw, &bias, ty);
    } else {
      backend_->ConvBackwardData(o, ty, tw, dx);
      for (bool accumulate : {false, true})
        backend_->ConvBackwardFilter(o, tx, ty, tw, &bias, accumulate);
    }
    backend_->LendWorkspace(nullptr, 0);
    EXPECT_EQ(backend_->allocator().ledger().Current().of(MemoryCategory::WORKSPACE), before);
  };
  run(Pass::FORWARD);
  run(Pass::BACKWARD);
}

TEST_P(ConvTest, SameCallSameBytes) {
  const Shape x = {4, 14, 14, 64}, w = {64, 3, 3, 64};
  const ConvOptions o = Options(3, 1, 1);
  const Tensor tx = MakeActivation(x, Random(x.elements()));
  const Tensor dy = MakeActivation(x, Random(x.elements()));
  const Tensor first = Make(w, DType::F32), again = Make(w, DType::F32);
  backend_->ConvBackwardFilter(o, tx, dy, first, nullptr, false);
  backend_->ConvBackwardFilter(o, tx, dy, again, nullptr, false);
  ExpectIdentical(first, again);
}

// Primitives are kept between calls; one made for another number of threads must not be used.
TEST_P(ConvTest, ThreadsMayChange) {
  const Shape x = {4, 14, 14, 64}, w = {64, 3, 3, 64};
  const ConvOptions o = Options(3, 1, 1);
  const Values vx = Random(x.elements()), vdy = Random(x.elements());
  const Tensor tx = MakeActivation(x, vx), dy = MakeActivation(x, vdy), dw = Make(w, DType::F32);
  const Values expected = reference::ConvBackwardFilter(o, x, vx, x, vdy);
  const int before = Threads();
  for (int threads : {1, 3, 2}) {
    SetThreads(threads);
    backend_->ConvBackwardFilter(o, tx, dy, dw, nullptr, false);
    ExpectClose(dw, expected, ProductTolerance());
  }
  SetThreads(before);
}

// With uneven padding, which takes memory on a GPU whatever cuDNN does.
TEST_P(ConvTest, MemoryLimitIsAnError) {
  ConvOptions o = Options(3, 1, 1);
  o.pad_top = o.pad_left = 0;
  const Shape x = {2, 8, 8, 16}, y = reference::ConvOutput(o, x, 16), w = {16, 3, 3, 16};
  const Tensor tx = MakeActivation(x, Random(x.elements())), ty = Make(y, dtype());
  const Tensor tw = Make(w, DType::F32, Random(w.elements()));
  backend_->allocator().set_limit(1);
  try {
    backend_->ConvForward(o, tx, tw, nullptr, ty);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::MEMORY);
  }
}

// NHWC must not cost us oneDNN's fast kernels: none of these may fall back to its reference loops.
TEST_P(ConvTest, PicksCompiledKernels) {
  if (!on_cpu()) GTEST_SKIP() << "of oneDNN";
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  for (const ConvCase& c : Cases()) {
    if (c.x.sample() < 1000) continue;
    const Shape y = reference::ConvOutput(c.o, c.x, c.k);
    for (auto kind :
         {cpu::ConvKind::FORWARD, cpu::ConvKind::BACKWARD_DATA, cpu::ConvKind::BACKWARD_FILTER}) {
      const cpu::ConvCall call = {kind, c.o, c.x, y, dtype(), false, false};
      const std::string implementation = cpu::NewConvPlan(call, engine)->implementation();
      EXPECT_EQ(implementation.find("ref"), std::string::npos) << Describe(c) << implementation;
    }
  }
}

struct FcCase {
  Shape x;
  int64_t k;
};

const FcCase kFcCases[] = {{{1, 1, 1, 1}, 1},   {{3, 1, 1, 7}, 17}, {{2, 3, 3, 5}, 10},
                           {{8, 1, 1, 64}, 33}, {{5, 2, 2, 16}, 1}, {{33, 1, 1, 100}, 64}};

TEST_P(ConvTest, FullyConnectedForward) {
  for (const FcCase& c : kFcCases) {
    SCOPED_TRACE(StrCat(c.x.ToString(), " to ", c.k));
    const int64_t n = c.x.n, in = c.x.sample();
    const Values x = Random(n * in), w = Random(c.k * in), b = Random(c.k);
    const Tensor tx = MakeActivation(c.x, x), tw = Make({c.k, 1, 1, in}, DType::F32, w);
    const Tensor bias = MakeVector(b), y = Make({n, 1, 1, c.k}, dtype());
    Values expected = reference::Matmul(n, in, c.k, x, reference::Transpose(c.k, in, w));
    backend_->FullyConnectedForward(tx, tw, nullptr, y);
    ExpectClose(y, expected, ProductTolerance());
    for (size_t i = 0; i < expected.size(); ++i) expected[i] += b[i % c.k];
    backend_->FullyConnectedForward(tx, tw, &bias, y);
    ExpectClose(y, expected, ProductTolerance());
  }
}

TEST_P(ConvTest, FullyConnectedBackward) {
  for (const FcCase& c : kFcCases) {
    SCOPED_TRACE(StrCat(c.x.ToString(), " to ", c.k));
    const int64_t n = c.x.n, in = c.x.sample();
    const Shape ws = {c.k, 1, 1, in}, ys = {n, 1, 1, c.k};
    const Values x = Random(n * in), w = Random(c.k * in), dy = Random(n * c.k);
    const Tensor tx = MakeActivation(c.x, x), tw = Make(ws, DType::F32, w);
    const Tensor tdy = MakeActivation(ys, dy), dx = Make(c.x, dtype());
    backend_->FullyConnectedBackwardData(tdy, tw, dx);
    ExpectClose(dx, reference::Matmul(n, c.k, in, dy, w), ProductTolerance());

    const Tensor dw = Make(ws, DType::F32), db = Make(Shape::Vector(c.k), DType::F32);
    Values expected = reference::Matmul(c.k, n, in, reference::Transpose(n, c.k, dy), x);
    Values expected_bias = reference::SumToChannels(ys, dy);
    for (bool accumulate : {false, true}) {
      backend_->FullyConnectedBackwardFilter(tx, tdy, dw, &db, accumulate);
      ExpectClose(dw, expected, ProductTolerance());
      ExpectClose(db, expected_bias, ProductTolerance());
      for (double& v : expected) v *= 2.0;
      for (double& v : expected_bias) v *= 2.0;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, ConvTest, ::testing::ValuesIn(BackendCases()), NameOfParam);

}  // namespace
}  // namespace encke
