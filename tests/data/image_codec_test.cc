// Decoding: what kinds of files become the same 8-bit RGB or grey pixels, and what is refused.
#include "data/image_codec.h"

#include <opencv2/imgcodecs.hpp>

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
  for (const char* extension : {".jpg", ".png"}) {
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
