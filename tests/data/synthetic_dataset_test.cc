// Synthetic images: repeatable, any size, and learnable.
#include <cmath>
#include <complex>
#include <limits>

#include "tests/data/test_files.h"

namespace encke {
namespace {

DatasetOptions Options(int64_t size, int classes) {
  DatasetOptions options;
  options.height = options.width = size;
  options.classes = classes;
  return options;
}

// Magnitudes of the lowest frequencies of the first channel: what a convolution and pooling can
// see, whatever the shift.
std::vector<double> Spectrum(const Image& image) {
  std::vector<double> magnitudes;
  for (int v = 0; v <= 4; ++v) {
    for (int u = -4; u <= 4; ++u) {
      std::complex<double> sum = 0;
      for (int64_t y = 0; y < image.h; ++y) {
        for (int64_t x = 0; x < image.w; ++x) {
          const double turns = static_cast<double>(v * y) / static_cast<double>(image.h) +
                               static_cast<double>(u * x) / static_cast<double>(image.w);
          sum += std::polar<double>(
              image.pixels[static_cast<size_t>((y * image.w + x) * image.c)] - 128.0,
              -6.283185307179586 * turns);
        }
      }
      magnitudes.push_back(std::abs(sum));
    }
  }
  return magnitudes;
}

double Distance(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sum;
}

TEST(SyntheticTest, ClassesOfTheTestSplitAreLearnableFromTraining) {
  constexpr int kClasses = 10;
  const DatasetOptions options = Options(16, kClasses);
  const auto train = OpenDataset(options, Split::TRAIN), test = OpenDataset(options, Split::TEST);
  std::vector<std::vector<double>> examples;  // one a class
  for (int i = 0; i < kClasses; ++i) examples.push_back(Spectrum(train->Read(i)));
  int right = 0;
  for (int i = 0; i < 100; ++i) {
    const std::vector<double> spectrum = Spectrum(test->Read(i));
    int best = 0;
    for (int k = 1; k < kClasses; ++k) {
      if (Distance(spectrum, examples[k]) < Distance(spectrum, examples[best])) best = k;
    }
    right += best == test->label(i) ? 1 : 0;
  }
  EXPECT_GE(right, 90);
}

TEST(SyntheticTest, ImagesAreRepeatableAndDiffer) {
  const DatasetOptions options = Options(8, 4);
  const auto dataset = OpenDataset(options, Split::TRAIN),
             again = OpenDataset(options, Split::TRAIN);
  const auto test = OpenDataset(options, Split::TEST);
  EXPECT_EQ(dataset->Read(5).pixels, again->Read(5).pixels);
  EXPECT_NE(dataset->Read(5).pixels, dataset->Read(9).pixels);
  EXPECT_NE(dataset->Read(5).pixels, test->Read(5).pixels);
}

TEST(SyntheticTest, SizesAndLimitsAreAsAsked) {
  DatasetOptions options = Options(7, 3);
  options.width = 5;
  options.channels = 1;
  EXPECT_EQ(OpenDataset(options, Split::TRAIN)->size(), 8192);
  options.limit = 12;
  const auto dataset = OpenDataset(options, Split::TRAIN);
  EXPECT_EQ(dataset->size(), 12);
  EXPECT_EQ(dataset->classes(), 3);
  EXPECT_EQ(dataset->Read(11).pixels.size(), 35u);
  options.classes = 0;
  EXPECT_EQ(OpenDataset(options, Split::TRAIN)->classes(), 10);
  options.height = 0;
  EXPECT_THROW(OpenDataset(options, Split::TRAIN), Error);
}

}  // namespace
}  // namespace encke
