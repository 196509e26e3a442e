// Decoding: what kinds of files become the same 8-bit RGB or grey pixels, and what is refused.
#include "data/image_codec.h"

#include <cstdlib>
#include <opencv2/imgcodecs.hpp>

#include "data/image_formats.h"
#include "tests/data/test_files.h"

namespace encke {
namespace {

std::vector<uint8_t> Bytes(const std::string& text) { return {text.begin(), text.end()}; }

std::vector<uint8_t> Png(const cv::Mat& pixels) {
  std::vector<uint8_t> bytes;
  cv::imencode(".png", pixels, bytes);
  return bytes;
}

using Pixels = std::vector<uint8_t>;

TEST(ImageCodecTest, ColourIsRgb) {
  const Image image = DecodeImage(Bytes(EncodedImage(".png", 1, 1, 10, 20, 30)), 3, "x");
  EXPECT_EQ(image.pixels, (Pixels{10, 20, 30}));
}

TEST(ImageCodecTest, GreyBecomesRgbAndColourBecomesGrey) {
  EXPECT_EQ(DecodeImage(Png(cv::Mat(1, 1, CV_8UC1, 77)), 3, "x").pixels, (Pixels{77, 77, 77}));
  EXPECT_EQ(DecodeImage(Png(cv::Mat(1, 1, CV_8UC1, 77)), 1, "x").pixels, (Pixels{77}));
  const Image grey = DecodeImage(Bytes(EncodedImage(".png", 1, 1, 10, 20, 30)), 1, "x");
  EXPECT_EQ(grey.pixels, (Pixels{18}));
}

TEST(ImageCodecTest, SixteenBitsKeepTheUpperByte) {
  const cv::Mat colour(1, 1, CV_16UC3, cv::Scalar(0x1234, 0x5678, 0x9abc));
  EXPECT_EQ(DecodeImage(Png(colour), 3, "x").pixels, (Pixels{0x9a, 0x56, 0x12}));
  const cv::Mat grey(1, 1, CV_16UC1, cv::Scalar(0xabcd));
  EXPECT_EQ(DecodeImage(Png(grey), 3, "x").pixels, (Pixels{0xab, 0xab, 0xab}));
}

TEST(ImageCodecTest, AlphaIsDropped) {
  const cv::Mat pixels(1, 1, CV_8UC4, cv::Scalar(30, 20, 10, 0));
  EXPECT_EQ(DecodeImage(Png(pixels), 3, "x").pixels, (Pixels{10, 20, 30}));
}

TEST(ImageCodecTest, EveryFormatKeepsPlaceAndColour) {
  constexpr int kH = 24, kW = 40;
  cv::Mat pixels(kH, kW, CV_8UC3);
  for (int y = 0; y < kH; ++y) {
    for (int x = 0; x < kW; ++x) {
      pixels.at<cv::Vec3b>(y, x) = {static_cast<uint8_t>(5 * x), static_cast<uint8_t>(10 * y), 90};
    }
  }
  for (const char* extension : {".png", ".bmp", ".ppm", ".tiff", ".jpg", ".webp"}) {
    SCOPED_TRACE(extension);
    const bool exact = extension != std::string(".jpg") && extension != std::string(".webp");
    std::vector<uint8_t> bytes;
    cv::imencode(extension, pixels, bytes);
    const Image image = DecodeImage(bytes, 3, "x");
    ASSERT_EQ(image.h, kH);
    ASSERT_EQ(image.w, kW);
    ASSERT_EQ(image.pixels.size(), static_cast<size_t>(kH * kW * 3));
    const Image grey = DecodeImage(bytes, 1, "x");
    ASSERT_EQ(grey.pixels.size(), static_cast<size_t>(kH * kW));
    for (int y = 0; y < kH; ++y) {
      for (int x = 0; x < kW; ++x) {
        const int expected[] = {90, 10 * y, 5 * x};
        for (int c = 0; c < 3; ++c) {
          ASSERT_LE(std::abs(image.pixels[(y * kW + x) * 3 + c] - expected[c]), exact ? 0 : 12);
        }
        const double luma = 0.299 * 90 + 0.587 * 10 * y + 0.114 * 5 * x;
        ASSERT_NEAR(grey.pixels[y * kW + x], luma, exact ? 1 : 8);
      }
    }
  }
}

TEST(ImageCodecTest, WhatTheFileIsCalledDoesNotMatterAndOtherFilesAreRefused) {
  for (const char* text :
       {"GIF89a, or something of the kind", "P1 2 2 0 1 1 0", "x", "RIFF....WAVE"}) {
    ExpectDataError([&] { DecodeImage(Bytes(text), 3, "the place"); }, "first bytes");
  }
}

TEST(ImageCodecTest, ASizeThatIsNotSensibleIsRefusedBeforeMemoryIsTaken) {
  ExpectDataError([] { DecodeImage(Bytes("P6 100000 100000 255\n"), 3, "x"); }, "not sensible");
}

// 2 x 3, and how each orientation of EXIF 2.32, 4.6.4 means it.
TEST(ImageCodecTest, OrientationsTurnAndMirror) {
  const char* const meant[] = {"abc/def/",  "cba/fed/",  "fed/cba/",  "def/abc/",
                               "ad/be/cf/", "da/eb/fc/", "fc/eb/da/", "cf/be/ad/"};
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const Image upright = Upright({2, 3, 1, {'a', 'b', 'c', 'd', 'e', 'f'}}, orientation);
    std::string rows;
    for (int64_t i = 0; i < upright.h * upright.w; ++i) {
      rows += static_cast<char>(upright.pixels[static_cast<size_t>(i)]);
      if ((i + 1) % upright.w == 0) rows += '/';
    }
    EXPECT_EQ(rows, meant[orientation - 1]) << orientation;
  }
}

TEST(ImageCodecTest, TheOrientationOfAJpegIsApplied) {
  std::string file = EncodedImage(".jpg", 16, 40, 10, 20, 30);
  const std::string little_endian(
      "\xff\xe1\x00\x22"
      "Exif\0\0II*\0\x08\0\0\0\x01\0"
      "\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0",
      36);
  file.insert(2, little_endian);
  const Image image = DecodeImage(Bytes(file), 3, "x");
  EXPECT_EQ(image.h, 40);
  EXPECT_EQ(image.w, 16);
}

// 8x8, cyan 0, magenta and yellow full, black 0, written inverted as Adobe's programs do.
constexpr unsigned char kCmykRed[] = {
    0xff, 0xd8, 0xff, 0xee, 0x00, 0x0e, 0x41, 0x64, 0x6f, 0x62, 0x65, 0x00, 0x64, 0x00, 0x00,
    0x00, 0x00, 0x00, 0xff, 0xdb, 0x00, 0x43, 0x00, 0x03, 0x02, 0x02, 0x03, 0x02, 0x02, 0x03,
    0x03, 0x03, 0x03, 0x04, 0x03, 0x03, 0x04, 0x05, 0x08, 0x05, 0x05, 0x04, 0x04, 0x05, 0x0a,
    0x07, 0x07, 0x06, 0x08, 0x0c, 0x0a, 0x0c, 0x0c, 0x0b, 0x0a, 0x0b, 0x0b, 0x0d, 0x0e, 0x12,
    0x10, 0x0d, 0x0e, 0x11, 0x0e, 0x0b, 0x0b, 0x10, 0x16, 0x10, 0x11, 0x13, 0x14, 0x15, 0x15,
    0x15, 0x0c, 0x0f, 0x17, 0x18, 0x16, 0x14, 0x18, 0x12, 0x14, 0x15, 0x14, 0xff, 0xc0, 0x00,
    0x14, 0x08, 0x00, 0x08, 0x00, 0x08, 0x04, 0x43, 0x11, 0x00, 0x4d, 0x11, 0x00, 0x59, 0x11,
    0x00, 0x4b, 0x11, 0x00, 0xff, 0xc4, 0x00, 0x14, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x09, 0xff, 0xc4, 0x00, 0x14,
    0x10, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0xff, 0xda, 0x00, 0x0e, 0x04, 0x43, 0x00, 0x4d, 0x00, 0x59, 0x00, 0x4b,
    0x00, 0x00, 0x3f, 0x00, 0x54, 0xc5, 0x50, 0xaa, 0x2a, 0x6f, 0xff, 0xd9};

TEST(ImageCodecTest, CmykIsConverted) {
  const Image image = DecodeImage({std::begin(kCmykRed), std::end(kCmykRed)}, 3, "x");
  EXPECT_EQ(image.h, 8);
  EXPECT_GE(image.pixels[0], 250);
  EXPECT_LE(image.pixels[1], 5);
  EXPECT_LE(image.pixels[2], 5);
}

TEST(ImageCodecTest, TruncatedFilesAreRefusedWhereverTheyAreCut) {
  for (const char* extension : {".jpg", ".png", ".bmp", ".ppm", ".tiff", ".webp"}) {
    SCOPED_TRACE(extension);
    const std::string whole = EncodedImage(extension, 40, 40, 10, 20, 30);
    DecodeImage(Bytes(whole), 3, "x");
    for (size_t length = 0; length + 2 < whole.size(); length += 1 + whole.size() / 40) {
      ExpectDataError([&] { DecodeImage(Bytes(whole.substr(0, length)), 3, "the place"); },
                      "the place: the ");
    }
  }
}

TEST(ImageCodecTest, BytesAfterTheEndOfAJpegAreHarmless) {
  const std::string file = EncodedImage(".jpg", 40, 40, 10, 20, 30) + "some trailing bytes";
  EXPECT_EQ(DecodeImage(Bytes(file), 3, "x").h, 40);
}

}  // namespace
}  // namespace encke
