// The CUDA backend's host logic, which needs neither CUDA nor a GPU.
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "engine/backend/cuda/block_cache.h"
#include "engine/backend/cuda/conv_choices.h"
#include "engine/backend/cuda/conv_problem.h"
#include "engine/backend/cuda/fc_gemm.h"
#include "engine/backend/cuda/gpus.h"
#include "engine/core/error.h"
#include "tests/engine/backend/conv_cases.h"

namespace encke::cuda {
namespace {

// ------------------------------------------------------------------------------------------ GPUs

GpuSurvey Machine() {
  GpuSurvey survey;
  survey.driver_version = 13000;
  survey.runtime_version = 13000;
  survey.gpus = {{0, "NVIDIA H100 80GB HBM3", 9, 0, 132, int64_t{80} << 30, int64_t{79} << 30},
                 {1, "Tesla V100", 7, 0, 80, int64_t{16} << 30, int64_t{15} << 30}};
  return survey;
}

// What CheckGpu throws, "" when it throws nothing.
std::string Refusal(const GpuSurvey& survey, int index) {
  try {
    CheckGpu(survey, index);
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::DEVICE);
    EXPECT_FALSE(error.hint().empty());
    return error.what();
  }
}

void ExpectRefusal(const GpuSurvey& survey, int index, const std::string& text) {
  const std::string refusal = Refusal(survey, index);
  EXPECT_NE(refusal.find(text), std::string::npos) << refusal;
}

TEST(GpusTest, AGpuThatIsThereIsTaken) {
  EXPECT_EQ(Refusal(Machine(), 0), "");
  EXPECT_EQ(CheckGpu(Machine(), 0).name, "NVIDIA H100 80GB HBM3");
}

TEST(GpusTest, EachProblemHasItsOwnMessage) {
  GpuSurvey survey = Machine();
  ExpectRefusal(survey, 2, "no GPU with this index");
  ExpectRefusal(survey, 2, "cuda:0, cuda:1");
  ExpectRefusal(survey, 1, "Tesla V100 has compute capability 7.0, this build needs 8.0");
  survey.gpus.clear();
  ExpectRefusal(survey, 0, "sees no GPU");
  survey.failure = "initialization error";
  ExpectRefusal(survey, 0, "initialization error");
  survey.driver_version = 12040;
  ExpectRefusal(survey, 0, "the NVIDIA driver supports CUDA 12.4, this build needs 13.0");
  survey.driver_version = 0;
  ExpectRefusal(survey, 0, "no NVIDIA driver");
}

TEST(GpusTest, MinorVersionsOfDriverAndRuntimeMayDiffer) {
  GpuSurvey survey = Machine();
  survey.runtime_version = 13020;
  EXPECT_EQ(Refusal(survey, 0), "");
}

// --------------------------------------------------------------------------------------- choices

class ConvChoicesTest : public ::testing::Test {
 protected:
  const std::string path_ = ::testing::TempDir() + "/choices/conv.tsv";
  void TearDown() override { std::remove(path_.c_str()); }
};

TEST_F(ConvChoicesTest, AreFoundAgainInTheSameContextOnly) {
  ConvChoices("", "H100").Add("a problem", 3);  // without a file nothing is kept
  ConvChoices choices(path_, "H100");
  EXPECT_EQ(choices.Find("a problem"), -1);
  choices.Add("a problem", 3);
  choices.Add("another", 0);
  choices.Add("a problem", 5);
  EXPECT_EQ(choices.Find("a problem"), 5);
  const ConvChoices later(path_, "H100"), other(path_, "A100");
  EXPECT_EQ(later.Find("a problem"), 5);
  EXPECT_EQ(later.Find("another"), 0);
  EXPECT_EQ(other.Find("a problem"), -1);
}

TEST_F(ConvChoicesTest, DamagedLinesAreLeftOut) {
  ConvChoices(path_, "H100").Add("good", 1);
  std::ofstream(path_, std::ios::app) << "H100\tno number\tx\nH100\tnegative\t-3\nH100\tcut";
  const ConvChoices choices(path_, "H100");
  EXPECT_EQ(choices.Find("good"), 1);
  for (const char* problem : {"no number", "negative", "cut"})
    EXPECT_EQ(choices.Find(problem), -1) << problem;
}

// ---------------------------------------------------------------------------------- convolutions

ConvProblem Problem(ConvKind kind, DType dtype, const ConvOptions& options) {
  const Shape x = {2, 8, 8, 16};
  return {kind, options, x, {2, 8, 8, 32}, dtype, true};
}

TEST(ConvProblemTest, KeysTellAllProblemsApart) {
  const ConvOptions o = Options(3, 1, 1);
  std::vector<std::string> keys;
  for (ConvKind kind : {ConvKind::FORWARD, ConvKind::BACKWARD_DATA, ConvKind::BACKWARD_FILTER})
    for (DType dtype : {DType::F32, DType::BF16}) keys.push_back(Problem(kind, dtype, o).Key());
  ConvProblem changed = Problem(ConvKind::FORWARD, DType::F32, o);
  changed.tf32 = false;
  keys.push_back(changed.Key());
  for (int64_t ConvOptions::*field :
       {&ConvOptions::kernel_h, &ConvOptions::kernel_w, &ConvOptions::stride_h,
        &ConvOptions::stride_w, &ConvOptions::dilation_h, &ConvOptions::dilation_w,
        &ConvOptions::pad_top, &ConvOptions::pad_bottom, &ConvOptions::pad_left,
        &ConvOptions::pad_right, &ConvOptions::groups}) {
    changed = Problem(ConvKind::FORWARD, DType::F32, o);
    changed.options.*field += 1;
    keys.push_back(changed.Key());
  }
  for (int64_t Shape::*field : {&Shape::n, &Shape::h, &Shape::w, &Shape::c}) {
    changed = Problem(ConvKind::FORWARD, DType::F32, o);
    changed.x.*field += 1;
    keys.push_back(changed.Key());
  }
  std::sort(keys.begin(), keys.end());
  EXPECT_EQ(std::unique(keys.begin(), keys.end()), keys.end());
}

TEST(ConvProblemTest, UnequalPaddingBecomesPartOfTheImage) {
  const ConvOptions o = {3, 3, 2, 2, 1, 1,
                         0, 1, 2, 1, 1};  // pads: 0 above, 1 below, 2 left, 1 right
  const ConvProblem problem = {ConvKind::FORWARD, o,          {2, 8, 8, 16},
                               {2, 4, 5, 16},     DType::F32, true};
  problem.Check();
  EXPECT_TRUE(problem.NeedsPadding());
  const ConvProblem padded = problem.AsCudnnTakesIt();
  EXPECT_EQ(padded.x, (Shape{2, 9, 11, 16}));
  padded.Check();  // gives the same output
  EXPECT_FALSE(padded.NeedsPadding());
}

TEST(ConvProblemTest, WorkspaceHoldsWhatIsNeededAndNoMore) {
  const ConvOptions same = Options(3, 1, 1);
  const ConvProblem wide = Problem(ConvKind::BACKWARD_FILTER, DType::F32, same);
  EXPECT_EQ(LayOut(wide, false, 1000).total(), 1000);
  const int64_t filter = wide.filter().elements() * 4;
  EXPECT_EQ(LayOut(wide, true, 1000).total(), filter + 1000);
  const ConvProblem narrow = Problem(ConvKind::FORWARD, DType::BF16, same);
  const ConvLayout layout = LayOut(narrow, false, 1000);
  EXPECT_EQ(layout.filter, 0);
  EXPECT_EQ(layout.padded, -1);
  EXPECT_EQ(layout.scratch, filter / 2);
  ConvOptions uneven = same;
  uneven.pad_top = 2;
  uneven.pad_bottom = 0;
  const ConvLayout with_image = LayOut(Problem(ConvKind::FORWARD, DType::BF16, uneven), false, 0);
  EXPECT_EQ(with_image.padded, filter / 2);
  EXPECT_EQ(with_image.total(), filter / 2 + 2 * 10 * 10 * 16 * 2);
}

// ------------------------------------------------------------------------------- fully connected

using Matrix = std::vector<double>;

// What cuBLAS does: c = op(a) op(b), column-major.
Matrix Multiply(const Gemm& g, const Matrix& a, const Matrix& b) {
  Matrix c(g.ldc * g.n, 0.0);
  for (int64_t i = 0; i < g.m; ++i) {
    for (int64_t j = 0; j < g.n; ++j) {
      for (int64_t l = 0; l < g.k; ++l) {
        c[j * g.ldc + i] += a[g.transpose_a ? i * g.lda + l : l * g.lda + i] *
                            b[g.transpose_b ? l * g.ldb + j : j * g.ldb + l];
      }
    }
  }
  return c;
}

Matrix Numbers(int64_t n) {
  Matrix numbers(n);
  for (int64_t i = 0; i < n; ++i) numbers[i] = static_cast<double>(i * i * 7 % 23) - 11.0;
  return numbers;
}

TEST(FcGemmTest, IsTheProductThatItShouldBe) {
  constexpr int64_t n = 3, c = 5, k = 4;
  const Matrix x = Numbers(n * c), w = Numbers(k * c), dy = Numbers(n * k);
  Matrix y(n * k, 0.0), dx(n * c, 0.0), dw(k * c, 0.0);
  for (int64_t s = 0; s < n; ++s) {
    for (int64_t o = 0; o < k; ++o) {
      for (int64_t i = 0; i < c; ++i) {
        y[s * k + o] += x[s * c + i] * w[o * c + i];
        dx[s * c + i] += dy[s * k + o] * w[o * c + i];
        dw[o * c + i] += dy[s * k + o] * x[s * c + i];
      }
    }
  }
  EXPECT_EQ(Multiply(FcForward(n, c, k), w, x), y);
  EXPECT_EQ(Multiply(FcBackwardData(n, c, k), w, dy), dx);
  EXPECT_EQ(Multiply(FcBackwardFilter(n, c, k), x, dy), dw);
}

// ---------------------------------------------------------------------------------------- memory

TEST(BlockCacheTest, GivesBackWhatFits) {
  int blocks[3];
  BlockCache cache;
  EXPECT_EQ(BlockCache::RoundedSize(0), 512);
  EXPECT_EQ(BlockCache::RoundedSize(513), 1024);
  EXPECT_EQ(BlockCache::RoundedSize((2 << 20) + 1), 4 << 20);
  EXPECT_EQ(cache.Take(512), nullptr);
  cache.Put(&blocks[0], 512);
  cache.Put(&blocks[1], 1024);
  cache.Put(&blocks[2], 1024);
  EXPECT_EQ(cache.bytes(), 2560);
  EXPECT_EQ(cache.Take(512), &blocks[0]);
  EXPECT_EQ(cache.Take(512), nullptr);
  EXPECT_EQ(cache.TakeAll().size(), 2u);
  EXPECT_EQ(cache.bytes(), 0);
  EXPECT_EQ(cache.Take(1024), nullptr);
}

}  // namespace
}  // namespace encke::cuda
