// Element-wise primitives, masks, dropout, reductions and parameter updates.
#include <cstring>
#include <limits>
#include <string>

#include "engine/core/error.h"
#include "engine/core/parallel.h"
#include "engine/core/rng.h"
#include "tests/engine/backend/backend_testing.h"

namespace encke {
namespace {

// Around the widths of vectors and bytes; the last is shared by several threads.
const int64_t kLengths[] = {1, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 255, 257, 1000, 70001};

class ElementwiseTest : public BackendTest {
 protected:
  Tensor MakeRandom(int64_t n) { return MakeActivation(Shape::Vector(n), Random(n)); }
  Tensor MakeLike(const Tensor& x) { return Make(x.shape(), dtype()); }
};

TEST_P(ElementwiseTest, ReluForwardAndBackward) {
  for (int64_t n : kLengths) {
    SCOPED_TRACE(n);
    Values x = Random(n), expected(n), expected_gradient(n);
    const Values dy = Random(n);
    x[n / 2] = 0.0;
    for (int64_t i = 0; i < n; ++i) {
      expected[i] = x[i] > 0 ? x[i] : 0.0;
      expected_gradient[i] = x[i] > 0 ? dy[i] : 0.0;
    }
    const Tensor y = MakeActivation(Shape::Vector(n), x);
    const Tensor gradient = MakeActivation(Shape::Vector(n), dy);
    backend_->ReluForward(y, y);
    EXPECT_EQ(Read(y), expected);
    backend_->ReluBackward(y, gradient, gradient);
    EXPECT_EQ(Read(gradient), expected_gradient);
  }
}

TEST_P(ElementwiseTest, ReluKeepsNan) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Tensor x = MakeActivation(Shape::Vector(20), Values(20, nan)), y = MakeLike(x);
  backend_->ReluForward(x, y);
  for (double v : Read(y)) EXPECT_TRUE(std::isnan(v));
}

TEST_P(ElementwiseTest, MaskIsAsGoodAsTheValue) {
  for (int64_t n : kLengths) {
    SCOPED_TRACE(n);
    Values x = Random(n);
    x[n / 3] = 0.0;
    x[n / 2] = -0.0;
    x[n - 1] = 1e-30;
    const Tensor tx = MakeActivation(Shape::Vector(n), x), dy = MakeRandom(n);
    const Tensor bits = Make(Shape::Vector((n + 7) / 8), DType::U8);
    backend_->PackMask(tx, bits);
    const Values bytes = Read(bits);
    for (int64_t i = 0; i < n; ++i)
      ASSERT_EQ(static_cast<int>(bytes[i / 8]) >> (i % 8) & 1, x[i] > 0) << i;
    const Tensor from_mask = MakeLike(dy), from_value = MakeLike(dy);
    backend_->ReluBackward(tx, dy, from_value);
    backend_->ReluBackwardFromMask(bits, dy, from_mask);
    ExpectIdentical(from_mask, from_value);
  }
}

TEST_P(ElementwiseTest, PackBitsRoundTrip) {
  for (int bits : {1, 2, 4}) {
    for (int64_t n : kLengths) {
      SCOPED_TRACE(StrCat(n, " of ", bits));
      Values x = Random(n);
      for (double& v : x) v = std::floor((v + 1.0) / 2.01 * (1 << bits));
      const Tensor tx = Make(Shape::Vector(n), DType::U8, x);
      const Tensor packed = Make(Shape::Vector((n * bits + 7) / 8), DType::U8);
      const Tensor back = Make(Shape::Vector(n), DType::U8);
      backend_->PackBits(tx, bits, packed);
      backend_->UnpackBits(packed, bits, back);
      EXPECT_EQ(Read(back), x);
      double first = 0.0;
      for (int64_t i = 0; i < std::min<int64_t>(n, 8 / bits); ++i)
        first += x[i] * (1 << (i * bits));
      EXPECT_EQ(Read(packed)[0], first);
    }
  }
}

TEST_P(ElementwiseTest, AddInPlace) {
  for (int64_t n : kLengths) {
    const Tensor a = MakeRandom(n), b = MakeRandom(n);
    Values expected = Read(a);
    const Values other = Read(b);
    for (int64_t i = 0; i < n; ++i) expected[i] += other[i];
    backend_->Add(a, b, b);
    ExpectClose(b, expected, 1e-7);
  }
}

// As the two passes that it takes the place of.
TEST_P(ElementwiseTest, AddAndReluInOnePass) {
  for (int64_t n : kLengths) {
    const Tensor a = MakeRandom(n), b = MakeRandom(n), y = MakeRandom(n), expected = MakeLike(a);
    backend_->Add(a, b, expected);
    const Tensor gradient = MakeLike(a);
    backend_->ReluBackward(y, expected, gradient);
    backend_->ReluForward(expected, expected);
    const Tensor out = MakeLike(a);
    backend_->AddRelu(a, b, out);
    ExpectIdentical(out, expected);
    backend_->AddReluBackward(y, a, b, out);
    ExpectIdentical(out, gradient);
    backend_->AddReluBackward(y, a, b, b);
    ExpectIdentical(b, gradient);
  }
}

TEST_P(ElementwiseTest, CopyChannelsTouchesNoOthers) {
  const Tensor src = MakeActivation({2, 3, 5, 7}, Random(210)), dst = Make({2, 3, 5, 11}, dtype());
  Values expected = Read(dst);
  const Values from = Read(src);
  for (int64_t pixel = 0; pixel < 30; ++pixel)
    for (int64_t c = 0; c < 3; ++c) expected[pixel * 11 + 6 + c] = from[pixel * 7 + 2 + c];
  backend_->CopyChannels(src, 2, dst, 6, 3);
  EXPECT_EQ(Read(dst), expected);
}

TEST_P(ElementwiseTest, CopyConvertsAndFills) {
  for (int64_t n : kLengths) {
    const Tensor x = Make(Shape::Vector(n), DType::F32, Random(n)), y = MakeLike(x);
    const Tensor back = Make(Shape::Vector(n), DType::F32);
    backend_->Copy(x, y);
    backend_->Copy(y, back);
    ExpectIdentical(back, x);
    std::vector<uint8_t> host(y.bytes());
    backend_->CopyToHost(y, host.data());
    const Tensor again = MakeLike(x);
    backend_->CopyFromHost(host.data(), again);
    ExpectIdentical(again, y);
    backend_->Fill(y, 0.5f);
    EXPECT_EQ(Read(y), Values(n, 0.5));
  }
}

TEST_P(ElementwiseTest, HostCopiesBringWhatTensorsHeldWhenTheyBegan) {
  const Tensor a = Make(Shape::Vector(5), DType::F32, Random(5));
  const Tensor b = Make(Shape::Vector(3000), DType::F32, Random(3000));
  const Values held_a = Read(a), held_b = Read(b);
  for (int round = 0; round < 2; ++round) {  // again in the same memory
    const auto copy = backend_->StartCopyToHost({a, b, a});
    backend_->Fill(a, 0.5f);
    const auto* floats = static_cast<const float*>(copy->Wait());
    EXPECT_EQ(Values(floats, floats + 5), round == 0 ? held_a : Values(5, 0.5));
    EXPECT_EQ(Values(floats + 5, floats + 3005), held_b);
    EXPECT_EQ(Values(floats + 3005, floats + 3010), round == 0 ? held_a : Values(5, 0.5));
  }
}

TEST_P(ElementwiseTest, CopyRoundsToNearestEvenAndKeepsNan) {
  const Values x = {1.0 + 0x1p-8, 1.0 + 3 * 0x1p-8, 1.0 + 0x1p-8 + 0x1p-20, std::nan(""),
                    -HUGE_VAL};
  const Tensor tx = Make(Shape::Vector(5), DType::F32, x), y = Make(Shape::Vector(5), DType::BF16);
  backend_->Copy(tx, y);
  const Values rounded = Read(y);
  EXPECT_EQ(rounded[0], 1.0);
  EXPECT_EQ(rounded[1], 1.0 + 0x1p-6);
  EXPECT_EQ(rounded[2], 1.0 + 0x1p-7);
  EXPECT_TRUE(std::isnan(rounded[3]));
  EXPECT_EQ(rounded[4], -HUGE_VAL);
}

TEST_P(ElementwiseTest, NormalizeImage) {
  const Shape shape = {2, 4, 5, 3};
  const std::vector<float> mean = {0.485f, 0.456f, 0.406f}, std = {0.229f, 0.224f, 0.225f};
  Values image(shape.elements()), expected(shape.elements());
  for (size_t i = 0; i < image.size(); ++i) {
    image[i] = static_cast<double>(i * 37 % 256);
    expected[i] = (image[i] / 255.0 - mean[i % 3]) / std[i % 3];
  }
  const Tensor y = Make(shape, dtype());
  backend_->NormalizeImage(Make(shape, DType::U8, image), mean, std, y);
  ExpectClose(y, expected, 1e-6);
}

TEST_P(ElementwiseTest, DropoutIsAFunctionOfSeedStreamAndIndex) {
  const uint64_t seed = 5, stream = 77;
  const uint64_t key = seed ^ (static_cast<uint64_t>(RngStream::DROPOUT) << 56);
  for (int64_t n : kLengths) {
    const Tensor x = MakeRandom(n), y = MakeLike(x);
    backend_->Dropout({0.25f, seed, stream}, x, y);
    Values expected = Read(x);
    for (int64_t i = 0; i < n; ++i) {
      const bool keep = Philox4x32(key, stream, i / 4)[i % 4] >= uint32_t{1} << 30;
      expected[i] = keep ? expected[i] / 0.75 : 0.0;
    }
    ExpectClose(y, expected, 1e-6);
    backend_->Dropout({0.25f, seed, stream}, x, x);
    ExpectIdentical(x, y);
  }
  const int64_t n = 100000;
  const Tensor ones = MakeActivation(Shape::Vector(n), Values(n, 1.0)), y = MakeLike(ones);
  backend_->Dropout({0.3f, seed, stream + 1}, ones, y);
  int64_t dropped = 0;
  for (double v : Read(y)) dropped += v == 0.0;
  EXPECT_NEAR(static_cast<double>(dropped), 0.3 * n, 5 * std::sqrt(0.21 * n));
}

TEST_P(ElementwiseTest, Sums) {
  for (int64_t n : kLengths) {
    SCOPED_TRACE(n);
    const Tensor x = MakeRandom(n);
    double squares = 0.0, magnitudes = 0.0;
    for (double v : Read(x)) {
      squares += v * v;
      magnitudes += std::fabs(v);
    }
    EXPECT_NEAR(backend_->SumOfSquares(x), squares, 1e-12 * n);
    EXPECT_NEAR(backend_->SumOfMagnitudes(x), magnitudes, 1e-12 * n);
    EXPECT_EQ(backend_->SumOfSquares(x), backend_->SumOfSquares(x));
    const std::unique_ptr<HostCopy> first = backend_->StartSumOfSquares(x);
    const std::unique_ptr<HostCopy> second = backend_->StartSumOfMagnitudes(x);
    EXPECT_EQ(*static_cast<const double*>(first->Wait()), backend_->SumOfSquares(x));
    EXPECT_EQ(*static_cast<const double*>(second->Wait()), backend_->SumOfMagnitudes(x));
  }
}

TEST_P(ElementwiseTest, AllFiniteSeesEveryPlace) {
  for (int64_t n : kLengths) {
    Values x = Random(n);
    EXPECT_TRUE(backend_->AllFinite(MakeActivation(Shape::Vector(n), x)));
    for (int64_t place : {int64_t{0}, n / 2, n - 1}) {
      for (double bad : {HUGE_VAL, -HUGE_VAL, std::nan("")}) {
        Values broken = x;
        broken[place] = bad;
        EXPECT_FALSE(backend_->AllFinite(MakeActivation(Shape::Vector(n), broken)));
      }
    }
  }
}

// What torch.optim.SGD does, for two steps.
TEST_P(ElementwiseTest, SgdFollowsPyTorch) {
  for (bool nesterov : {false, true}) {
    for (float momentum : {0.0f, 0.9f}) {
      for (int64_t n : {1, 17, 33, 40001}) {
        const SgdOptions o = {0.1f, momentum, 0.01f, nesterov, 0.5f};
        Values w = Random(n), v(n, 0.0);
        const Tensor tw = MakeVector(w), tv = momentum > 0 ? MakeVector(v) : Tensor();
        for (int step = 0; step < 2; ++step) {
          const Values dw = Random(n);
          backend_->SgdStep(o, tw, MakeVector(dw), tv);
          for (int64_t i = 0; i < n; ++i) {
            const double g = 0.5 * dw[i] + 0.01 * w[i];
            v[i] = momentum * v[i] + g;
            w[i] -= 0.1 * (nesterov ? g + momentum * v[i] : v[i]);
          }
        }
        ExpectClose(tw, w, 1e-6);
      }
    }
  }
}

TEST_P(ElementwiseTest, AverageMoves) {
  const Values x = Random(33), old = Random(33);
  Values expected(33);
  for (size_t i = 0; i < 33; ++i) expected[i] = 0.99 * old[i] + 0.01 * x[i];
  const Tensor average = MakeVector(old);
  backend_->UpdateAverage(0.99f, MakeVector(x), average);
  ExpectClose(average, expected, 1e-6);
}

INSTANTIATE_TEST_SUITE_P(Types, ElementwiseTest, ::testing::ValuesIn(BackendCases()), NameOfParam);

TEST(RegistryTest, NoSuchGpuIsADeviceError) {
  try {
    NewBackend(Device::Parse("cuda:1000"));
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::DEVICE);
    EXPECT_FALSE(error.hint().empty());
  }
}

}  // namespace
}  // namespace encke
