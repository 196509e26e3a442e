// Max and average pooling against plain loops.
#include <limits>
#include <string>

#include "tests/engine/backend/backend_testing.h"

namespace encke {
namespace {

struct PoolCase {
  const char* name;
  Shape x;
  int64_t h, w;  // of the output
  PoolOptions o;
};

const PoolCase kCases[] = {
    {"2x2", {2, 6, 8, 64}, 3, 4, {2, 2, 2, 2}},
    {"3x3 s2 pad 1", {2, 9, 7, 17}, 5, 4, {3, 3, 2, 2, 1, 1}},
    {"3x3 s2, floor", {1, 8, 8, 33}, 3, 3, {3, 3, 2, 2}},
    {"3x3 s2, ceil: the last window passes the border", {2, 8, 8, 7}, 4, 4, {3, 3, 2, 2}},
    {"3x3 s2 pad 1, ceil", {2, 8, 9, 16}, 5, 5, {3, 3, 2, 2, 1, 1}},
    {"stride above the kernel", {2, 10, 10, 3}, 4, 4, {1, 1, 3, 3}},
    {"asymmetric", {2, 7, 9, 5}, 7, 4, {1, 3, 1, 2, 0, 0}},
    {"overlapping, one channel", {3, 7, 7, 1}, 7, 7, {3, 3, 1, 1, 1, 1}},
    {"global", {3, 7, 7, 100}, 1, 1, {7, 7, 1, 1}},
    {"one pixel", {1, 1, 1, 1}, 1, 1, {1, 1, 1, 1}},
};

class PoolTest : public BackendTest {
 protected:
  // The tensors of a case: x and dy at random, the rest to be written.
  struct Tensors {
    Values x, dy;
    Tensor tx, tdy, y, dx;
  };
  Tensors MakeTensors(const PoolCase& c) {
    const Shape ys = {c.x.n, c.h, c.w, c.x.c};
    Tensors t{Random(c.x.elements()), Random(ys.elements()), {}, {}, {}, {}};
    t.tx = MakeActivation(c.x, t.x);
    t.tdy = MakeActivation(ys, t.dy);
    t.y = Make(ys, dtype());
    t.dx = Make(c.x, dtype());
    return t;
  }
};

TEST_P(PoolTest, Max) {
  for (const PoolCase& c : kCases) {
    SCOPED_TRACE(c.name);
    const Tensors t = MakeTensors(c);
    const Shape ys = t.y.shape();
    const Tensor index = Make(ys, DType::U8);
    backend_->MaxPoolForward(c.o, t.tx, t.y, index);
    const reference::MaxPooled expected = reference::MaxPoolForward(c.o, c.x, t.x, ys);
    EXPECT_EQ(Read(t.y), expected.y);
    EXPECT_EQ(Read(index), Values(expected.index.begin(), expected.index.end()));
    backend_->MaxPoolBackward(c.o, index, t.tdy, t.dx);
    ExpectClose(t.dx, reference::MaxPoolBackward(c.o, ys, expected.index, t.dy, c.x), 1e-6);

    const Tensor evaluated = Make(ys, dtype());
    backend_->MaxPoolForward(c.o, t.tx, evaluated, Tensor());
    ExpectIdentical(evaluated, t.y);
  }
}

TEST_P(PoolTest, FirstOfEqualsWinsAndNanPasses) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  const Values x = {0, 0, 0, 0, /**/ 1, 2, nan, 5, /**/ -inf, -inf, -inf, -inf, /**/ 3, 7, 7, 1};
  const Values places = {0, 2, 0, 1};
  const Shape shape = {4, 2, 2, 1};
  const Tensor y = Make({4, 1, 1, 1}, dtype()), index = Make({4, 1, 1, 1}, DType::U8);
  backend_->MaxPoolForward({2, 2, 2, 2}, MakeActivation(shape, x), y, index);
  EXPECT_EQ(Read(index), places);
  EXPECT_TRUE(std::isnan(Read(y)[1]));
  EXPECT_EQ(Read(y)[2], -inf);
}

TEST_P(PoolTest, Average) {
  for (const PoolCase& c : kCases) {
    for (bool padded : {false, true}) {
      SCOPED_TRACE(StrCat(c.name, padded ? ", padding counted" : ""));
      PoolOptions o = c.o;
      o.count_include_pad = padded;
      const Tensors t = MakeTensors(c);
      backend_->AveragePoolForward(o, t.tx, t.y);
      ExpectClose(t.y, reference::AveragePoolForward(o, c.x, t.x, t.y.shape()), 1e-6);
      backend_->AveragePoolBackward(o, t.tdy, t.dx);
      ExpectClose(t.dx, reference::AveragePoolBackward(o, t.y.shape(), t.dy, c.x), 1e-6);
    }
  }
}

// Worked by hand: PyTorch's AvgPool2d(3, 2, padding=1, ceil_mode=True) of sixteen ones.
TEST_P(PoolTest, PaddedAreaEndsWherePyTorchsDoes) {
  const Tensor x = MakeActivation({1, 4, 4, 1}, Values(16, 1.0)), y = Make({1, 3, 3, 1}, dtype());
  PoolOptions o = {3, 3, 2, 2, 1, 1, true};
  backend_->AveragePoolForward(o, x, y);
  const double edge = 6.0 / 9, corner = 4.0 / 9, far_edge = 3.0 / 6, far_corner = 2.0 / 6;
  ExpectClose(y, {corner, edge, far_corner, edge, 1.0, far_edge, far_corner, far_edge, 0.25}, 1e-6);
}

INSTANTIATE_TEST_SUITE_P(Types, PoolTest, ::testing::ValuesIn(BackendCases()), NameOfParam);

}  // namespace
}  // namespace encke
