// What the CUDA kernels compute, run in loops on the host and compared with the CPU backend: bit
// for bit where both add in the same order, otherwise within rounding. What remains for a GPU to
// show is how kernels are launched and how sums are put together there.
#include <cmath>
#include <string>
#include <type_traits>
#include <vector>

#include "engine/backend/cuda/conv_ops.h"
#include "engine/backend/cuda/elementwise_ops.h"
#include "engine/backend/cuda/lrn_ops.h"
#include "engine/backend/cuda/mask_ops.h"
#include "engine/backend/cuda/norm_ops.h"
#include "engine/backend/cuda/pixel_ops.h"
#include "engine/backend/cuda/pool_ops.h"
#include "tests/engine/backend/backend_testing.h"
#include "tests/engine/backend/conv_cases.h"

namespace encke::cuda {
namespace {

constexpr int64_t kElements = 1003;

// The host's loops in place of launch.cuh.
template <typename Op>
void Each(int64_t n, const Op& op) {
  for (int64_t i = 0; i < n; ++i) op(i);
}

template <typename Op, typename Out, typename... In>
void Map(int64_t n, const Op& op, Out* out, const In*... in) {
  for (int64_t i = 0; i < n; ++i) out[i] = Narrow<Out>(op(i, Widen(in[i])...));
}

template <typename Op, typename Out, typename... In>
void ChannelMap(int64_t rows, int64_t channels, const Op& op, Out* out, const In*... in) {
  for (int64_t i = 0; i < rows * channels; ++i)
    out[i] = Narrow<Out>(op(op.Load(i % channels), Widen(in[i])...));
}

template <typename Terms, typename Finish, typename... In>
void ChannelSums(int64_t rows, int64_t channels, const Terms& terms, const Finish& finish,
                 const In*... in) {
  for (int64_t c = 0; c < channels; ++c) {
    double first = 0.0, second = 0.0;
    for (int64_t i = c; i < rows * channels; i += channels)
      terms.Add(terms.Load(c), Widen(in[i])..., &first, &second);
    finish(c, first, second);
  }
}

template <typename F>
void WithFloatType(DType dtype, const F& f) {
  dtype == DType::F32 ? f(float()) : f(bfloat16());
}

// Runs on the CPU alone, for both types of activations.
class OpsTest : public BackendTest {
 protected:
  Tensor MakeRandom(const Shape& shape) { return MakeActivation(shape, Random(shape.elements())); }
  Tensor MakeLike(const Tensor& x) { return Make(x.shape(), x.dtype()); }
  Tensor MakeRandomVector(int64_t n) { return MakeVector(Random(n)); }
  static const float* F(const Tensor& tensor) { return tensor.data<float>(); }
};

TEST_P(OpsTest, ElementWise) {
  const Tensor x = MakeRandom(Shape::Vector(kElements)), dy = MakeRandom(x.shape());
  const Tensor expected = MakeLike(x), y = MakeLike(x);
  WithFloatType(dtype(), [&](auto type) {
    using T = decltype(type);
    backend_->ReluForward(x, expected);
    Map(kElements, ReluOp(), y.data<T>(), x.data<T>());
    ExpectIdentical(y, expected);
    backend_->ReluBackward(x, dy, expected);
    Map(kElements, ReluGradientOp(), y.data<T>(), x.data<T>(), dy.data<T>());
    ExpectIdentical(y, expected);
    backend_->Add(x, dy, expected);
    Map(kElements, AddOp(), y.data<T>(), x.data<T>(), dy.data<T>());
    ExpectIdentical(y, expected);
    backend_->AddRelu(x, dy, expected);
    Map(kElements, AddReluOp(), y.data<T>(), x.data<T>(), dy.data<T>());
    ExpectIdentical(y, expected);
    backend_->AddReluBackward(x, dy, dy, expected);
    Map(kElements, AddReluGradientOp(), y.data<T>(), x.data<T>(), dy.data<T>(), dy.data<T>());
    ExpectIdentical(y, expected);
    backend_->Fill(expected, 0.3f);
    Map(kElements, FillOp{0.3f}, y.data<T>());
    ExpectIdentical(y, expected);
    for (int64_t first : {0, 1, 1022}) {
      const DropoutMask mask = {0.3f, 5, 7, first};
      backend_->Dropout(mask, x, expected);
      Map(kElements, DropoutOp(mask), y.data<T>(), x.data<T>());
      ExpectIdentical(y, expected);
    }
  });
}

TEST_P(OpsTest, CopiesAndImages) {
  const Tensor wide = Make(Shape::Vector(kElements), DType::F32, Random(kElements));
  const Tensor expected = Make(wide.shape(), dtype()), copy = MakeLike(expected);
  const Shape shape = {2, 5, 5, 3};
  Values bytes(shape.elements());
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<double>(i * 37 % 256);
  const Tensor image = Make(shape, DType::U8, bytes), normal = Make(shape, dtype());
  const Tensor expected_normal = MakeLike(normal);
  const std::vector<float> mean = {0.485f, 0.456f, 0.406f}, std = {0.229f, 0.224f, 0.225f};
  const Tensor joined = Make({2, 5, 5, 7}, dtype()), expected_joined = MakeLike(joined);
  WithFloatType(dtype(), [&](auto type) {
    using T = decltype(type);
    backend_->Copy(wide, expected);
    Map(kElements, CopyOp(), copy.data<T>(), F(wide));
    ExpectIdentical(copy, expected);
    backend_->NormalizeImage(image, mean, std, expected_normal);
    NormalizeImageOp op = {3, {0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}};
    Map(shape.elements(), op, normal.data<T>(), image.data<uint8_t>());
    ExpectIdentical(normal, expected_normal);
    backend_->CopyChannels(normal, 1, expected_joined, 4, 2);
    Each(50 * 2, CopyChannelsOp<T>{normal.data<T>(), 3, 1, joined.data<T>(), 7, 4, 2});
    ExpectIdentical(joined, expected_joined);
  });
}

TEST_P(OpsTest, Masks) {
  const Tensor x = MakeRandom(Shape::Vector(kElements)), dy = MakeRandom(x.shape());
  const Tensor expected = Make(Shape::Vector((kElements + 7) / 8), DType::U8);
  const Tensor bits = MakeLike(expected), dx = MakeLike(x), expected_dx = MakeLike(x);
  WithFloatType(dtype(), [&](auto type) {
    using T = decltype(type);
    backend_->PackMask(x, expected);
    Each(bits.elements(), PackMaskOp<T>{x.data<T>(), kElements, bits.data<uint8_t>()});
    ExpectIdentical(bits, expected);
    backend_->ReluBackwardFromMask(bits, dy, expected_dx);
    Map(kElements, MaskedGradientOp{bits.data<uint8_t>()}, dx.data<T>(), dy.data<T>());
    ExpectIdentical(dx, expected_dx);
  });
}

TEST_P(OpsTest, Pixels) {
  const Shape shape = {2, 60, 60, 5};  // more pixels than are looked at
  Values values = Random(shape.elements());
  for (double& v : values) v = v < 0 ? 0 : std::ceil(2 * v) / 2;
  const Tensor x = MakeActivation(shape, values);
  const Tensor number = Make(Shape::Vector(8), DType::U8);
  const Tensor image = Make({2, 60, 60, 2}, dtype()), expected = MakeLike(image);
  const int64_t pixels = 7200, sampled = SampledPixels(pixels);
  std::vector<uint64_t> sample(sampled);
  std::vector<int32_t> counts(sampled);
  WithFloatType(dtype(), [&](auto type) {
    using T = decltype(type);
    const PixelNumbers<T> numbers(x.data<T>(), 5, 2);
    Each(sampled, SamplePixelOp<T>{numbers, sampled, pixels, sample.data()});
    Each(sampled, CountPixelOp{sample.data(), sampled, counts.data()});
    PixelCount most;
    for (int64_t i = 0; i < sampled; ++i) most = MoreOften(most, {sample[i], counts[i]});
    backend_->FindRepeatedPixel(x, 2, number);
    EXPECT_EQ(most.number, *static_cast<const uint64_t*>(number.raw()));
    for (bool repeated : {true, false}) {
      backend_->MarkPixels(x, 2, number, repeated, expected);
      Each(2 * pixels, MarkPixelOp<T>{numbers, &most.number, repeated, 2, image.data<T>()});
      ExpectIdentical(image, expected);
    }
  });
}

TEST_P(OpsTest, PackedIntegers) {
  for (int width : {1, 2, 4}) {
    Values values(kElements);
    for (int64_t i = 0; i < kElements; ++i) values[i] = static_cast<double>(i * 5 % (1 << width));
    const Tensor x = Make(Shape::Vector(kElements), DType::U8, values), back = MakeLike(x);
    const Tensor expected = Make(Shape::Vector((kElements * width + 7) / 8), DType::U8);
    const Tensor packed = MakeLike(expected);
    backend_->PackBits(x, width, expected);
    Each(packed.elements(),
         PackBitsOp{x.data<uint8_t>(), kElements, width, packed.data<uint8_t>()});
    ExpectIdentical(packed, expected);
    Each(kElements, UnpackBitsOp{packed.data<uint8_t>(), width, back.data<uint8_t>()});
    ExpectIdentical(back, x);
  }
}

TEST(DivisorTest, DividesAsIntegersDo) {
  for (int64_t b : {1, 2, 3, 5, 7, 16, 112, 641, 65535, 65536, 1 << 30, INT32_MAX}) {
    const Divisor divisor(b);
    EXPECT_EQ(static_cast<int32_t>(divisor), b);
    for (int64_t a : {int64_t{0}, b - 1, b, b + 1, 2 * b - 1, 3 * b, int64_t{123456789},
                      int64_t{INT32_MAX} / b * b - 1, int64_t{INT32_MAX} / b * b,
                      int64_t{INT32_MAX} - 1, int64_t{INT32_MAX}}) {
      if (a > INT32_MAX) continue;
      EXPECT_EQ(static_cast<int32_t>(a) / divisor, a / b) << a << " / " << b;
    }
  }
}

struct PoolCase {
  Shape x, y;
  PoolOptions o;
};

std::vector<PoolCase> PoolCases() {
  return {{{2, 9, 7, 17}, {2, 5, 4, 17}, {3, 3, 2, 2, 1, 1}},
          {{2, 8, 9, 16}, {2, 5, 5, 16}, {3, 3, 2, 2, 1, 1, true}},
          {{2, 10, 10, 3}, {2, 4, 4, 3}, {1, 1, 3, 3}},
          {{3, 7, 7, 5}, {3, 1, 1, 5}, {7, 7, 1, 1}},
          {{3, 7, 7, 8}, {3, 1, 1, 8}, {7, 7, 1, 1}}};
}

TEST_P(OpsTest, Pooling) {
  for (const PoolCase& c : PoolCases()) {
    const PoolGeometry g(c.o, c.x, c.y);
    const Tensor x = MakeRandom(c.x), dy = MakeRandom(c.y), dx = MakeLike(x), y = MakeLike(dy);
    const Tensor index = Make(c.y, DType::U8), expected_index = MakeLike(index);
    const Tensor expected_y = MakeLike(y), expected_dx = MakeLike(x);
    const bool padded = c.o.count_include_pad;
    const auto check = [&](auto type, auto n) {
      using T = decltype(type);
      uint8_t* places = index.data<uint8_t>();
      const int64_t outputs = y.elements() / n, inputs = x.elements() / n;
      backend_->MaxPoolForward(c.o, x, expected_y, expected_index);
      Each(outputs, MaxPoolOp<T, n>(g, x.data<T>(), y.data<T>(), places));
      ExpectIdentical(y, expected_y);
      ExpectIdentical(index, expected_index);
      backend_->MaxPoolBackward(c.o, index, dy, expected_dx);
      Each(inputs, MaxPoolGradientOp<T, n>(g, places, dy.data<T>(), dx.data<T>()));
      ExpectIdentical(dx, expected_dx);
      backend_->AveragePoolForward(c.o, x, expected_y);
      Each(outputs, AveragePoolOp<T, n>(g, padded, x.data<T>(), y.data<T>()));
      ExpectIdentical(y, expected_y);
      backend_->AveragePoolBackward(c.o, dy, expected_dx);
      Each(inputs, AveragePoolGradientOp<T, n>(g, padded, dy.data<T>(), dx.data<T>()));
      ExpectIdentical(dx, expected_dx);
    };
    WithFloatType(dtype(), [&](auto type) {
      constexpr int kPack = PackSize<decltype(type)>();
      check(type, std::integral_constant<int, 1>());
      if (c.x.c % kPack == 0) check(type, std::integral_constant<int, kPack>());
    });
  }
}

TEST_P(OpsTest, LocalResponseNormalisation) {
  for (const LrnOptions& o : {LrnOptions{5, 1e-1f, 0.75f, 2.0f}, LrnOptions{4, 0.5f, 0.6f, 1.0f}}) {
    const Tensor x = MakeRandom({2, 3, 3, 11}), dy = MakeRandom(x.shape());
    const Tensor y = MakeLike(x), dx = MakeLike(x), expected = MakeLike(x);
    WithFloatType(dtype(), [&](auto type) {
      using T = decltype(type);
      backend_->LrnForward(o, x, expected);
      Each(x.elements(), LrnOp<T>{o, 11, x.data<T>(), y.data<T>()});
      ExpectClose(y, Read(expected), 1e-6);
      backend_->LrnBackward(o, x, dy, expected);
      Each(x.elements(), LrnGradientOp<T>{o, 11, x.data<T>(), dy.data<T>(), dx.data<T>()});
      ExpectClose(dx, Read(expected), 1e-6);
    });
  }
}

TEST_P(OpsTest, BatchNormForward) {
  const Shape shape = {4, 5, 6, 13};
  const int64_t rows = 60, c = shape.c;  // of half of the batch
  const Tensor x = MakeRandom(shape), y = MakeLike(x), expected_y = MakeLike(x);
  const auto vector = [&](int64_t n) { return Make(Shape::Vector(n), DType::F32); };
  const Tensor moments = vector(3 * c), expected_moments = vector(3 * c);
  const Tensor ones = MakeVector(Values(c, 1.0)), zeros = MakeVector(Values(c, 0.0));
  const NormChannels norm = {vector(c), vector(c), MakeRandomVector(c), MakeRandomVector(c), true};
  const NormChannels expected = {vector(c), vector(c), norm.gamma, norm.beta, true};
  const Tensor variance = MakeVector(Values(c, 1.0)), mean = MakeVector(Values(c, 0.0));
  WithFloatType(dtype(), [&](auto type) {
    using T = decltype(type);
    for (bool accumulate : {false, true}) {  // the second half on top of the first
      const Tensor half = x.Slice(accumulate ? 2 : 0, 2);
      backend_->BatchNormMoments(half, expected_moments, accumulate);
      ChannelSums(rows, c, MomentTerms(), MomentFinish{rows, c, accumulate, moments.data<float>()},
                  half.data<T>());
    }
    ExpectClose(moments, Read(expected_moments), 1e-6);
    backend_->BatchNormStatistics(1e-3f, 0.2f, moments, expected.mean, expected.inv_std, zeros,
                                  ones);
    Each(c, StatisticsOp{1e-3f, 0.2f, c, F(moments), norm.mean.data<float>(),
                         norm.inv_std.data<float>(), mean.data<float>(), variance.data<float>()});
    for (const auto& [a, b] :
         {std::pair(norm.mean, expected.mean), std::pair(norm.inv_std, expected.inv_std),
          std::pair(mean, zeros), std::pair(variance, ones)}) {
      ExpectIdentical(a, b);
    }
    backend_->BatchNormApply(norm, x, expected_y);
    const NormApplyMap apply = {F(norm.mean), F(norm.inv_std), F(norm.gamma), F(norm.beta), true};
    ChannelMap(2 * rows, c, apply, y.data<T>(), x.data<T>());
    ExpectIdentical(y, expected_y);
    backend_->BatchNormInference(1e-3f, true, x, norm.gamma, norm.beta, mean, variance, expected_y);
    const NormInferenceMap infer = {1e-3f, true, F(mean), F(variance), F(norm.gamma), F(norm.beta)};
    ChannelMap(2 * rows, c, infer, y.data<T>(), x.data<T>());
    ExpectIdentical(y, expected_y);
    const Tensor shortcut = MakeRandom(shape);
    NormApplyMap plain = apply;
    plain.relu = false;
    backend_->BatchNormApplyAdd(norm, x, shortcut, expected_y);
    ChannelMap(2 * rows, c, NormApplyAddMap<T>{plain, true}, y.data<T>(), x.data<T>(),
               shortcut.data<T>());
    ExpectIdentical(y, expected_y);
    backend_->BatchNormInvert(norm, x, shortcut, expected_y);
    const NormInvertMap invert = {F(norm.mean), F(norm.inv_std), F(norm.gamma), F(norm.beta)};
    ChannelMap(2 * rows, c, invert, y.data<T>(), x.data<T>(), shortcut.data<T>());
    ExpectIdentical(y, expected_y);
  });
}

TEST_P(OpsTest, BatchNormBackward) {
  const Shape shape = {4, 5, 6, 13};
  const int64_t rows = 120, c = shape.c;
  const Tensor x = MakeRandom(shape), dy = MakeRandom(shape), y = MakeRandom(shape);
  const Tensor dx = MakeLike(x), expected_dx = MakeLike(x);
  const Tensor sums = MakeRandomVector(2 * c), expected_sums = MakeVector(Read(sums));
  const Tensor dgamma = MakeRandomVector(c), expected_dgamma = MakeVector(Read(dgamma));
  const Tensor dbeta = MakeRandomVector(c), expected_dbeta = MakeVector(Read(dbeta));
  for (bool relu : {false, true}) {
    for (const Tensor& output : {Tensor(), y}) {
      const NormChannels norm = {MakeRandomVector(c), MakeRandomVector(c), MakeRandomVector(c),
                                 MakeRandomVector(c), relu};
      const NormGate gate = {relu, F(norm.mean), F(norm.inv_std), F(norm.gamma), F(norm.beta)};
      backend_->BatchNormBackwardSums(norm, x, output, dy, expected_sums, true);
      WithFloatType(dtype(), [&](auto type) {
        using T = decltype(type);
        const T *px = x.data<T>(), *pdy = dy.data<T>(), *py = y.data<T>();
        const NormGradientTerms terms = {gate};
        const SumsFinish finish = {c, true, sums.data<float>()};
        const bool by_output = relu && output.defined();
        by_output ? ChannelSums(rows, c, terms, finish, px, pdy, py)
                  : ChannelSums(rows, c, terms, finish, px, pdy);
        ExpectClose(sums, Read(expected_sums), 1e-6);
        backend_->BatchNormBackwardApply(norm, x, output, sums, rows, dy, expected_dx);
        const NormGradientMap map = {gate, c, static_cast<double>(rows), F(sums)};
        by_output ? ChannelMap(rows, c, map, dx.data<T>(), px, pdy, py)
                  : ChannelMap(rows, c, map, dx.data<T>(), px, pdy);
        ExpectIdentical(dx, expected_dx);
      });
      for (bool accumulate : {true, false}) {
        backend_->BatchNormParameterGradients(sums, expected_dgamma, expected_dbeta, accumulate);
        Each(c, NormParameterGradientOp{c, accumulate, F(sums), dgamma.data<float>(),
                                        dbeta.data<float>()});
        ExpectIdentical(dgamma, expected_dgamma);
        ExpectIdentical(dbeta, expected_dbeta);
      }
    }
  }
}

TEST_P(OpsTest, Updates) {
  for (bool nesterov : {false, true}) {
    for (float momentum : {0.0f, 0.9f}) {
      const SgdOptions o = {0.1f, momentum, 0.01f, nesterov, 0.5f};
      const Tensor dw = MakeRandomVector(kElements), w = MakeRandomVector(kElements);
      const Tensor v = MakeRandomVector(kElements), expected_w = MakeVector(Read(w));
      const Tensor expected_v = MakeVector(Read(v));
      backend_->SgdStep(o, expected_w, dw, momentum > 0 ? expected_v : Tensor());
      Each(kElements, SgdOp{o, F(dw), w.data<float>(), momentum > 0 ? v.data<float>() : nullptr});
      ExpectIdentical(w, expected_w);
      ExpectIdentical(v, expected_v);
      backend_->UpdateAverage(0.99f, w, expected_v);
      Map(kElements, AverageOp{0.99f}, v.data<float>(), F(v), F(w));
      ExpectIdentical(v, expected_v);
    }
  }
}

// With bias and its gradient, against plain loops; and what goes through a padded image first.
TEST_P(OpsTest, DirectConvolution) {
  for (const ConvCase& c : Cases()) {
    if (c.x.elements() * c.k > 100000) continue;
    SCOPED_TRACE(Describe(c));
    const Shape ys = reference::ConvOutput(c.o, c.x, c.k);
    const Shape ws = {c.k, c.o.kernel_h, c.o.kernel_w, c.x.c / c.o.groups};
    const Values vx = Random(c.x.elements()), vw = Random(ws.elements());
    const Values vdy = Random(ys.elements()), vb = Random(c.k);
    const Tensor x = MakeActivation(c.x, vx), w = Make(ws, DType::F32, vw), y = Make(ys, dtype());
    const Tensor dy = MakeActivation(ys, vdy), dx = Make(c.x, dtype()), bias = MakeVector(vb);
    const Tensor dw = Make(ws, DType::F32, vw), db = MakeVector(vb);
    const DirectConv conv = {c.o, c.x, ys};
    WithFloatType(dtype(), [&](auto type) {
      using T = decltype(type);
      Each(ys.elements(), DirectForwardOp<T>{conv, x.data<T>(), F(w), y.data<T>()});
      ExpectClose(y, reference::ConvForward(c.o, c.x, vx, vw, {}, ys), 1e-6);
      Each(c.x.elements(), DirectBackwardDataOp<T>{conv, dy.data<T>(), F(w), dx.data<T>()});
      ExpectClose(dx, reference::ConvBackwardData(c.o, ys, vdy, vw, c.x), 1e-6);
      Each(ws.elements(),
           DirectBackwardFilterOp<T>{conv, x.data<T>(), dy.data<T>(), dw.data<float>(), true});
      Values expected = reference::ConvBackwardFilter(c.o, c.x, vx, ys, vdy);
      for (size_t i = 0; i < expected.size(); ++i) expected[i] += vw[i];
      ExpectClose(dw, expected, 1e-6);
      ChannelSums(ys.n * ys.h * ys.w, c.k, RowTerms(), RowFinish{true, db.data<float>()},
                  dy.data<T>());
      Map(ys.elements(), BiasOp{F(bias), c.k}, y.data<T>(), dy.data<T>());
    });
    Values expected = reference::SumToChannels(ys, vdy), biased = vdy;
    for (int64_t k = 0; k < c.k; ++k) expected[k] += vb[k];
    for (size_t i = 0; i < biased.size(); ++i) biased[i] += vb[i % c.k];
    ExpectClose(db, expected, 1e-6);
    ExpectClose(y, biased, 1e-6);
  }
}

TEST_P(OpsTest, PaddingAndCropping) {
  const Shape small = {2, 4, 5, 3}, large = {2, 7, 7, 3};
  const Tensor x = MakeRandom(small), back = MakeLike(x), padded = MakeLike(MakeRandom(large));
  backend_->Fill(padded, 0.0f);
  WithFloatType(dtype(), [&](auto type) {
    using T = decltype(type);
    PlaceImageOp<T> place = {4, 5, 3, 2, 1, 7, 7, x.data<T>(), padded.data<T>(), false};
    Each(small.elements(), place);
    place.from = padded.data<T>();
    place.to = back.data<T>();
    place.crop = true;
    Each(small.elements(), place);
  });
  ExpectIdentical(back, x);
  const Values values = Read(padded), inside = Read(x);
  double sum = 0.0, expected = 0.0;
  for (double v : values) sum += std::fabs(v);
  for (double v : inside) expected += std::fabs(v);
  EXPECT_NEAR(sum, expected, 1e-9);                         // nothing but x
  EXPECT_EQ(values[((0 * 7 + 2) * 7 + 1) * 3], inside[0]);  // two rows down, one to the right
  EXPECT_EQ(values[values.size() - (7 + 1 + 1) * 3 + 2], inside.back());
}

INSTANTIATE_TEST_SUITE_P(Cpu, OpsTest, ::testing::ValuesIn(CpuCases()), NameOfParam);

}  // namespace
}  // namespace encke::cuda
