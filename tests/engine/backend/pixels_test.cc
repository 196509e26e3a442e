// Which pixels repeat one another.
#include <algorithm>

#include "engine/backend/pixel_number.h"
#include "engine/core/parallel.h"
#include "engine/core/rng.h"
#include "tests/engine/backend/backend_testing.h"

namespace encke {
namespace {

class PixelsTest : public BackendTest {
 protected:
  // Two masks of the pixels of x: those that repeat one another, and the rest.
  struct Marked {
    Values repeated, others;
  };
  Marked Mark(const Tensor& x, int64_t channels, int64_t image_channels = 1) {
    Shape shape = x.shape();
    shape.c = image_channels;
    const Tensor number = Make(Shape::Vector(8), DType::U8), image = Make(shape, dtype());
    backend_->FindRepeatedPixel(x, channels, number);
    Marked marked;
    backend_->MarkPixels(x, channels, number, true, image);
    marked.repeated = Read(image);
    backend_->MarkPixels(x, channels, number, false, image);
    marked.others = Read(image);
    return marked;
  }
};

TEST_P(PixelsTest, TheMostFrequentThatIsNotZero) {
  //                                                zero   a       b     zero     b     zero
  const Tensor x = MakeActivation({1, 2, 3, 2}, {0, 0, 0.5, 1, 2, 0, -0.0, 0, 2, 0, 0, 0});
  const Marked marked = Mark(x, 2);
  EXPECT_EQ(marked.repeated, (Values{0, 0, 1, 0, 1, 0})) << "-0.0 is zero";
  EXPECT_EQ(marked.others, (Values{1, 1, 0, 1, 0, 1}));
  EXPECT_EQ(Mark(x, 2, 2).repeated, (Values{0, 0, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0}));
}

TEST_P(PixelsTest, NothingRepeats) {
  const Tensor x = MakeActivation({1, 1, 4, 1}, {5, 0, 3, 0});
  const Marked marked = Mark(x, 1);
  EXPECT_EQ(marked.repeated, Values(4, 0));
  EXPECT_EQ(marked.others, Values(4, 1));
}

// Channels 0 and 2 of 5, and 0, 1 and 3.
TEST_P(PixelsTest, SomeChannelsTellPixelsApart) {
  const Tensor x = MakeActivation({3, 1, 1, 5}, {1, 7, 2, 4, 5, 1, 8, 2, 4, 5, 1, 7, 3, 4, 6});
  EXPECT_EQ(Mark(x, 2).repeated, (Values{1, 1, 0}));
  EXPECT_EQ(Mark(x, 3).repeated, (Values{1, 0, 1}));
}

// Of more pixels than are looked at; the other value is too rare to be taken for it.
TEST_P(PixelsTest, ASampleFindsIt) {
  const Shape shape = {7, 56, 56, 3};
  ASSERT_GT(shape.elements() / 3, 4 * kMostSampledPixels);
  Values values = Random(shape.elements()), expected(shape.elements() / 3);
  Rng rng(5, RngStream::TEST);
  for (size_t i = 0; i < expected.size(); ++i) {
    const double which = rng.Uniform();
    expected[i] = which < 0.02;
    if (which >= 0.025) continue;
    std::fill_n(&values[3 * i], 3, expected[i] > 0 ? 0.25 : 0.5);
  }
  const Tensor x = MakeActivation(shape, values);
  for (int threads : {1, 2, 0}) {
    SetThreads(threads);
    EXPECT_EQ(Mark(x, 3).repeated, expected);
  }
}

// Each pixel of few, one of each of as many ranges of many.
TEST(SampledPixelTest, IsSpreadOverAll) {
  for (int64_t pixels : {1, 4096, 4097, 3 * 56 * 56, 128 * 56 * 56}) {
    const int64_t sampled = SampledPixels(pixels);
    for (int64_t i = 0; i < sampled; ++i) {
      const int64_t pixel = SampledPixel(i, sampled, pixels);
      ASSERT_GE(pixel, i * pixels / sampled);
      ASSERT_LT(pixel, (i + 1) * pixels / sampled);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, PixelsTest, ::testing::ValuesIn(BackendCases()), NameOfParam);

}  // namespace
}  // namespace encke
