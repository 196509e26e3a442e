// Crops, flips and colours, on images whose pixels say where they come from.
#include "data/augment.h"

#include <gtest/gtest.h>

#include <set>

namespace encke {
namespace {

using Pixels = std::vector<uint8_t>;

// Grey, pixel (y, x) is 10 * (y + 1) + x + 1.
Image Grid(int64_t h, int64_t w) {
  Image image{h, w, 1, {}};
  for (int64_t y = 0; y < h; ++y) {
    for (int64_t x = 0; x < w; ++x) image.pixels.push_back(static_cast<uint8_t>(10 * y + x + 11));
  }
  return image;
}

Image Plain(int64_t h, int64_t w, uint8_t r, uint8_t g, uint8_t b) {
  Image image{h, w, 3, Pixels(static_cast<size_t>(h * w * 3), b)};
  for (size_t i = 0; i < image.pixels.size(); i += 3) {
    image.pixels[i] = r;
    image.pixels[i + 1] = g;
  }
  return image;
}

Pixels Centre(const Image& image, int64_t resize_shorter, int64_t h, int64_t w) {
  Pixels out(static_cast<size_t>(h * w * image.c), 255);
  CenterCrop(image, resize_shorter, {1, h, w, image.c}, out.data());
  return out;
}

Pixels Augmented(const Image& image, const AugmentOptions& options, uint64_t draw, int64_t h,
                 int64_t w) {
  Pixels out(static_cast<size_t>(h * w * image.c), 255);
  Rng rng(1, RngStream::AUGMENT, draw);
  Augment(image, options, 0, rng, {1, h, w, image.c}, out.data());
  return out;
}

TEST(AugmentTest, CentreOfAnImageOfTheRightSizeIsTheImage) {
  EXPECT_EQ(Centre(Grid(3, 3), 0, 3, 3), Grid(3, 3).pixels);
}

TEST(AugmentTest, CentreIsCutFromTheLongerSide) {
  EXPECT_EQ(Centre(Grid(2, 4), 0, 2, 2), (Pixels{12, 13, 22, 23}));
}

TEST(AugmentTest, CentreOfASmallerImageIsSurroundedByZeros) {
  EXPECT_EQ(Centre(Grid(2, 2), 2, 4, 4),
            (Pixels{0, 0, 0, 0, 0, 11, 12, 0, 0, 21, 22, 0, 0, 0, 0, 0}));
}

TEST(AugmentTest, CentreIsResizedByItsShorterSide) {
  EXPECT_EQ(Centre(Plain(20, 30, 7, 8, 9), 10, 8, 8), Plain(8, 8, 7, 8, 9).pixels);
  EXPECT_EQ(Centre(Grid(2, 4), 1, 1, 2), (Pixels{17, 19}));  // means of the four left and right
}

TEST(AugmentTest, PaddedCropReachesEveryPlaceAndFillsWithZeros) {
  AugmentOptions options;
  options.crop_padding = 1;
  const Image image = Grid(2, 2);
  std::set<Pixels> seen;
  for (uint64_t draw = 0; draw < 200; ++draw) seen.insert(Augmented(image, options, draw, 2, 2));
  EXPECT_EQ(seen.size(), 9u);
  EXPECT_EQ(seen.count({0, 0, 0, 11}), 1u);
  EXPECT_EQ(seen.count({22, 0, 0, 0}), 1u);
  EXPECT_EQ(seen.count({0, 11, 0, 21}), 1u);
  EXPECT_EQ(seen.count(image.pixels), 1u);
}

TEST(AugmentTest, FlipMirrorsHalfOfTheImages) {
  AugmentOptions options;
  options.flip = true;
  const Image image{1, 3, 3, {1, 2, 3, 4, 5, 6, 7, 8, 9}};
  const Pixels mirrored = {7, 8, 9, 4, 5, 6, 1, 2, 3};
  int flipped = 0;
  for (uint64_t draw = 0; draw < 400; ++draw) {
    Pixels out(9);
    Rng rng(1, RngStream::AUGMENT, draw);
    Augment(image, options, 1, rng, {1, 1, 3, 3}, out.data());
    flipped += out == mirrored ? 1 : 0;
    EXPECT_TRUE(out == mirrored || out == image.pixels);
  }
  EXPECT_NEAR(flipped, 200, 50);
}

TEST(AugmentTest, RandomResizedCropStaysInsideAndVaries) {
  AugmentOptions options;
  options.random_resized_crop = true;
  std::set<Pixels> seen;
  for (uint64_t draw = 0; draw < 50; ++draw) {
    EXPECT_EQ(Augmented(Plain(37, 53, 9, 8, 7), options, draw, 16, 16),
              Plain(16, 16, 9, 8, 7).pixels);
    seen.insert(Augmented(Grid(12, 9), options, draw, 4, 4));
  }
  EXPECT_GT(seen.size(), 40u);
}

TEST(AugmentTest, RandomResizedCropFallsBackToTheCentreOfExtremeShapes) {
  AugmentOptions options;
  options.random_resized_crop = true;
  options.min_area = 1;
  Image image{1, 100, 1, Pixels(100, 0)};
  for (size_t x = 40; x < 60; ++x) image.pixels[x] = 200;
  EXPECT_EQ(Augmented(image, options, 1, 2, 2), (Pixels{200, 200, 200, 200}));
}

TEST(AugmentTest, BrightnessScalesAndClamps) {
  AugmentOptions options;
  options.brightness = 0.5f;
  int lowest = 255, highest = 0;
  for (uint64_t draw = 0; draw < 300; ++draw) {
    const int value = Augmented(Plain(1, 1, 100, 100, 100), options, draw, 1, 1)[0];
    lowest = std::min(lowest, value);
    highest = std::max(highest, value);
  }
  EXPECT_NEAR(lowest, 50, 3);
  EXPECT_NEAR(highest, 150, 3);
}

TEST(AugmentTest, ContrastKeepsTheMeanAndSaturationKeepsGrey) {
  AugmentOptions contrast;
  contrast.contrast = 0.5f;
  const Image image{1, 2, 1, {80, 120}};
  for (uint64_t draw = 0; draw < 20; ++draw) {
    Pixels out(2);
    Rng rng(1, RngStream::AUGMENT, draw);
    Augment(image, contrast, 1, rng, {1, 1, 2, 1}, out.data());
    EXPECT_NEAR(out[0] + out[1], 200, 1);
    EXPECT_LE(std::abs(out[1] - out[0]), 61);
    EXPECT_GE(std::abs(out[1] - out[0]), 19);
  }
  AugmentOptions saturation;
  saturation.saturation = 1;
  EXPECT_EQ(Augmented(Plain(2, 2, 90, 90, 90), saturation, 3, 2, 2),
            Plain(2, 2, 90, 90, 90).pixels);
}

}  // namespace
}  // namespace encke
