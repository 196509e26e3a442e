// Batch norm, LRN and softmax cross-entropy against plain loops.
#include <string>

#include "engine/core/error.h"
#include "tests/engine/backend/backend_testing.h"

namespace encke {
namespace {

const Shape kShapes[] = {{2, 1, 1, 1},  {1, 3, 3, 3},    {3, 5, 5, 7},
                         {2, 4, 4, 16}, {2, 9, 7, 17},   {4, 3, 3, 33},
                         {2, 8, 8, 64}, {64, 28, 28, 8}, {2, 2, 2, 300}};

class NormTest : public BackendTest {
 protected:
  Tensor MakeStatistics(int64_t c) { return Make(Shape::Vector(c), DType::F32); }

  // The whole batch at once, as a layer does it.
  void Forward(float epsilon, float momentum, const NormChannels& norm, const Tensor& x,
               const Tensor& y, const Tensor& running_mean, const Tensor& running_variance) {
    const Tensor moments = MakeStatistics(3 * x.shape().c);
    backend_->BatchNormMoments(x, moments, false);
    backend_->BatchNormStatistics(epsilon, momentum, moments, norm.mean, norm.inv_std, running_mean,
                                  running_variance);
    backend_->BatchNormApply(norm, x, y);
  }

  void Backward(const NormChannels& norm, const Tensor& x, const Tensor& dy, const Tensor& dx,
                const Tensor& dgamma, const Tensor& dbeta, bool accumulate) {
    const Shape& shape = x.shape();
    const Tensor sums = MakeStatistics(2 * shape.c);
    backend_->BatchNormBackwardSums(norm, x, Tensor(), dy, sums, false);
    backend_->BatchNormParameterGradients(sums, dgamma, dbeta, accumulate);
    backend_->BatchNormBackwardApply(norm, x, Tensor(), sums, shape.n * shape.h * shape.w, dy, dx);
  }
};

TEST_P(NormTest, BatchNormForward) {
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(shape.ToString());
    const Values x = Random(shape.elements()), gamma = Random(shape.c), beta = Random(shape.c);
    const Values old_mean = Random(shape.c), old_variance = Random(shape.c);
    const Tensor tx = MakeActivation(shape, x), y = Make(shape, dtype());
    const Tensor mean = MakeStatistics(shape.c), inv_std = MakeStatistics(shape.c);
    const Tensor running_mean = MakeVector(old_mean), running_variance = MakeVector(old_variance);
    Forward(1e-3f, 0.25f, {mean, inv_std, MakeVector(gamma), MakeVector(beta)}, tx, y, running_mean,
            running_variance);
    reference::BatchNormed r = reference::BatchNormForward(1e-3f, shape, x, gamma, beta);
    ExpectClose(y, r.y, 2e-6);
    ExpectClose(mean, r.mean, 1e-6);
    ExpectClose(inv_std, r.inv_std, 1e-6);
    for (int64_t c = 0; c < shape.c; ++c) {
      r.mean[c] = 0.75 * old_mean[c] + 0.25 * r.mean[c];
      r.variance[c] = 0.75 * old_variance[c] + 0.25 * r.variance[c];
    }
    ExpectClose(running_mean, r.mean, 1e-6);
    ExpectClose(running_variance, r.variance, 1e-6);
  }
}

// x comes back from what normalising it and adding a shortcut gives, also in the place of that.
TEST_P(NormTest, BatchNormInvert) {
  if (dtype() == DType::BF16) GTEST_SKIP() << "the sum has lost what would come back";
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(shape.ToString());
    const Values x = Random(shape.elements()), shortcut = Random(shape.elements());
    Values gamma = Random(shape.c), inv_std = Random(shape.c);
    for (double& g : gamma) g = g < 0 ? g - 0.5 : g + 0.5;
    for (double& s : inv_std) s = 1.0 + std::abs(s);
    const NormChannels norm = {MakeVector(Random(shape.c)), MakeVector(inv_std), MakeVector(gamma),
                               MakeVector(Random(shape.c)), false};
    const Tensor sum = Make(shape, dtype()), out = Make(shape, dtype());
    const Tensor side = MakeActivation(shape, shortcut);
    backend_->BatchNormApply(norm, MakeActivation(shape, x), sum);
    backend_->Add(sum, side, sum);
    backend_->BatchNormInvert(norm, sum, side, out);
    ExpectClose(out, x, 5e-6);
    backend_->BatchNormInvert(norm, sum, side, sum);
    ExpectClose(sum, x, 5e-6);
  }
}

// As the passes that it takes the place of, also in the place of either side.
TEST_P(NormTest, BatchNormApplyAdd) {
  for (const Shape& shape : kShapes) {
    for (bool relu : {false, true}) {
      SCOPED_TRACE(shape.ToString());
      const auto vector = [&] { return MakeVector(Random(shape.c)); };
      const NormChannels plain = {vector(), vector(), vector(), vector(), false};
      NormChannels norm = plain;
      norm.relu = relu;
      const Tensor x = MakeActivation(shape, Random(shape.elements()));
      const Tensor addend = MakeActivation(shape, Random(shape.elements()));
      const Tensor expected = Make(shape, dtype()), y = Make(shape, dtype());
      backend_->BatchNormApply(plain, x, expected);
      backend_->Add(expected, addend, expected);
      if (relu) backend_->ReluForward(expected, expected);
      backend_->BatchNormApplyAdd(norm, x, addend, y);
      ExpectIdentical(y, expected);
      backend_->Copy(x, y);
      backend_->BatchNormApplyAdd(norm, y, addend, y);
      ExpectIdentical(y, expected);
      backend_->BatchNormApplyAdd(norm, x, addend, addend);
      ExpectIdentical(addend, expected);
    }
  }
}

// A mean a thousand times the deviation costs sums of squares in fp32 all their digits.
TEST_P(NormTest, LargeMeanKeepsItsVariance) {
  if (dtype() == DType::BF16) GTEST_SKIP() << "bfloat16 cannot hold such values";
  const Shape shape = {8, 16, 16, 20};
  Values x = Random(shape.elements());
  for (double& v : x) v = static_cast<float>(1000.0 + v);
  const Values ones(20, 1.0), zeros(20, 0.0);
  const Tensor y = Make(shape, dtype()), mean = MakeStatistics(20), inv_std = MakeStatistics(20);
  Forward(0.0f, 0.1f, {mean, inv_std, MakeVector(ones), MakeVector(zeros)},
          MakeActivation(shape, x), y, MakeVector(zeros), MakeVector(ones));
  const reference::BatchNormed r = reference::BatchNormForward(0.0, shape, x, ones, zeros);
  ExpectClose(mean, r.mean, 1e-7);
  ExpectClose(inv_std, r.inv_std, 1e-5);
}

TEST_P(NormTest, BatchNormInferenceInPlace) {
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(shape.ToString());
    const Values x = Random(shape.elements()), gamma = Random(shape.c), beta = Random(shape.c);
    const Values mean = Random(shape.c);
    Values variance = Random(shape.c), expected(x.size());
    for (double& v : variance) v = v * v + 0.5;
    for (size_t i = 0; i < x.size(); ++i) {
      const size_t c = i % shape.c;
      expected[i] = (x[i] - mean[c]) / std::sqrt(variance[c] + 1e-5) * gamma[c] + beta[c];
    }
    const Tensor y = MakeActivation(shape, x);
    backend_->BatchNormInference(1e-5f, false, y, MakeVector(gamma), MakeVector(beta),
                                 MakeVector(mean), MakeVector(variance), y);
    ExpectClose(y, expected, 1e-6);
  }
}

TEST_P(NormTest, BatchNormBackwardInPlaceAndAccumulating) {
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(shape.ToString());
    const Values x = Random(shape.elements()), dy = Random(shape.elements());
    const Values gamma = Random(shape.c), mean = Random(shape.c);
    Values inv_std = Random(shape.c);
    for (double& v : inv_std) v = std::fabs(v) + 0.5;
    const Tensor tx = MakeActivation(shape, x), tdy = MakeActivation(shape, dy);
    const Tensor dgamma = MakeStatistics(shape.c), dbeta = MakeStatistics(shape.c);
    const Tensor dx = Make(shape, dtype()), zeros = MakeVector(Values(shape.c, 0.0));
    const auto run = [&](const Tensor& out, bool accumulate) {
      Backward({MakeVector(mean), MakeVector(inv_std), MakeVector(gamma), zeros}, tx, tdy, out,
               dgamma, dbeta, accumulate);
    };
    reference::BatchNormGradients r =
        reference::BatchNormBackward(shape, x, gamma, mean, inv_std, dy);
    run(dx, false);
    ExpectClose(dx, r.dx, 2e-6);
    ExpectClose(dgamma, r.dgamma, 2e-6);
    ExpectClose(dbeta, r.dbeta, 2e-6);
    run(tdy, true);
    ExpectIdentical(tdy, dx);
    for (double& v : r.dgamma) v *= 2.0;
    for (double& v : r.dbeta) v *= 2.0;
    ExpectClose(dgamma, r.dgamma, 2e-6);
    ExpectClose(dbeta, r.dbeta, 2e-6);
  }
}

// The sign of the output read off the output, and computed again from the input.
TEST_P(NormTest, ReluGatesTheGradientAlikeByOutputAndByInput) {
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(shape.ToString());
    const Tensor x = MakeActivation(shape, Random(shape.elements()));
    const Tensor dy = MakeActivation(shape, Random(shape.elements()));
    Values inv_std = Random(shape.c);
    for (double& v : inv_std) v = std::fabs(v) + 0.5;
    NormChannels norm = {MakeVector(Random(shape.c)), MakeVector(inv_std),
                         MakeVector(Random(shape.c)), MakeVector(Random(shape.c)), true};
    const Tensor y = Make(shape, dtype()), gated = Make(shape, dtype());
    backend_->BatchNormApply(norm, x, y);
    backend_->ReluBackward(y, dy, gated);
    const int64_t count = shape.n * shape.h * shape.w;
    const auto run = [&](const Tensor& output, const Tensor& gradient) {
      const Tensor sums = MakeStatistics(2 * shape.c), dx = Make(shape, dtype());
      backend_->BatchNormBackwardSums(norm, x, output, gradient, sums, false);
      backend_->BatchNormBackwardApply(norm, x, output, sums, count, gradient, dx);
      return dx;
    };
    const Tensor by_output = run(y, dy), by_input = run(Tensor(), dy);
    norm.relu = false;
    const Tensor separate = run(Tensor(), gated);
    ExpectIdentical(by_output, separate);
    if (dtype() == DType::F32) ExpectIdentical(by_input, separate);
  }
}

TEST_P(NormTest, SameCallSameBytes) {
  const Shape shape = {16, 14, 14, 48};
  const Tensor x = MakeActivation(shape, Random(shape.elements()));
  const Tensor dy = MakeActivation(shape, Random(shape.elements()));
  const Tensor gamma = MakeVector(Random(48)), beta = MakeVector(Random(48));
  Tensor y[2], dx[2], statistics[2][4];
  for (int i = 0; i < 2; ++i) {
    y[i] = Make(shape, dtype());
    dx[i] = Make(shape, dtype());
    for (Tensor& s : statistics[i]) s = MakeStatistics(48);
    const auto& [mean, inv_std, dgamma, dbeta] = statistics[i];
    const NormChannels norm = {mean, inv_std, gamma, beta};
    Forward(1e-5f, 0.1f, norm, x, y[i], MakeStatistics(48), MakeStatistics(48));
    Backward(norm, x, dy, dx[i], dgamma, dbeta, false);
  }
  ExpectIdentical(y[0], y[1]);
  ExpectIdentical(dx[0], dx[1]);
  for (int s = 0; s < 4; ++s) ExpectIdentical(statistics[0][s], statistics[1][s]);
}

TEST_P(NormTest, LocalResponse) {
  const LrnOptions options[] = {{5, 1e-4f, 0.75f, 2.0f}, {5, 1.5f, 0.75f, 1.0f},
                                {3, 0.5f, 0.5f, 1.0f},   {4, 0.9f, 0.75f, 1.0f},
                                {1, 0.9f, 1.0f, 2.0f},   {9, 2.0f, 0.75f, 1.0f}};
  for (const LrnOptions& o : options) {
    for (int64_t c : {1, 3, 7, 16, 17, 33, 64}) {
      SCOPED_TRACE(StrCat(o.size, " of ", c));
      const Shape shape = {2, 3, 2, c};
      const Values x = Random(shape.elements()), dy = Random(shape.elements());
      const Tensor tx = MakeActivation(shape, x), y = Make(shape, dtype());
      const Tensor dx = Make(shape, dtype());
      backend_->LrnForward(o, tx, y);
      ExpectClose(y, reference::LrnForward(o, shape, x), 2e-6);
      backend_->LrnBackward(o, tx, MakeActivation(shape, dy), dx);
      ExpectClose(dx, reference::LrnBackward(o, shape, x, dy), 2e-6);
    }
  }
}

TEST_P(NormTest, SoftmaxCrossEntropy) {
  for (int64_t classes : {1, 2, 10, 17, 1000}) {
    for (float smoothing : {0.0f, 0.1f}) {
      SCOPED_TRACE(StrCat(classes, " classes, smoothing ", smoothing));
      const Shape shape = {5, 1, 1, classes};
      Values logits = Random(shape.elements());
      for (double& v : logits) v *= 64.0;  // exp() alone would overflow after the next line
      logits[0] += 192.0;
      std::vector<int32_t> labels;
      for (int32_t n = 0; n < 5; ++n) labels.push_back(n * 7 % static_cast<int32_t>(classes));
      const Tensor tl = Make({5, 1, 1, 1}, DType::I32, Values(labels.begin(), labels.end()));
      const Tensor probabilities = Make(shape, DType::F32), loss = Make({5, 1, 1, 1}, DType::F32);
      const Tensor tx = MakeActivation(shape, logits);
      backend_->SoftmaxCrossEntropyForward(tx, tl, smoothing, probabilities, loss);
      const auto r = reference::SoftmaxCrossEntropy(shape, Read(tx), labels, smoothing);
      ExpectClose(probabilities, r.probabilities, 1e-6);
      ExpectClose(loss, r.loss, 1e-6);

      const Tensor d = Make(shape, dtype());
      backend_->SoftmaxCrossEntropyBackward(probabilities, tl, smoothing, 0.25f, d);
      Values expected =
          reference::SoftmaxCrossEntropyBackward(shape, r.probabilities, labels, smoothing);
      for (double& v : expected) v *= 0.25;
      ExpectClose(d, expected, 1e-6);
    }
  }
}

TEST_P(NormTest, LabelBeyondTheClassesIsNamed) {
  const Shape shape = {3, 1, 1, 10};
  const Tensor logits = MakeActivation(shape, Random(30)), p = Make(shape, DType::F32);
  const Tensor labels = Make({3, 1, 1, 1}, DType::I32, {1, 10, 2});
  const Tensor loss = Make({3, 1, 1, 1}, DType::F32);
  try {
    backend_->SoftmaxCrossEntropyForward(logits, labels, 0.0f, p, loss);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::DATA);
    EXPECT_NE(error.message().find("label 10"), std::string::npos) << error.what();
  }
}

INSTANTIATE_TEST_SUITE_P(Types, NormTest, ::testing::ValuesIn(BackendCases()), NameOfParam);

}  // namespace
}  // namespace encke
