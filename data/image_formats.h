// One decoder for each format of image files, each through the library that its format's programs
// use. `image_codec.h` chooses among them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "data/dataset.h"

namespace encke {

// A whole file in memory; not owned.
struct FileBytes {
  const uint8_t* data;
  size_t size;

  bool StartsWith(const char* magic, size_t length, size_t offset = 0) const;
};

// The format of a file, told by its first bytes alone.
enum class ImageFormat { JPEG, PNG, TIFF, WEBP, BMP, PNM, UNKNOWN };
ImageFormat FormatOf(const FileBytes& file);

// Decode a whole file to 8-bit RGB or grey, whichever is at hand, as `DecodeImage` says but without
// place and hint: std::runtime_error says what is wrong.
Image DecodeJpeg(const FileBytes& file, int64_t channels);  // libjpeg-turbo; has both, mostly
Image DecodePng(const FileBytes& file);                     // libpng
Image DecodeTiff(const FileBytes& file);                    // libtiff
Image DecodeWebp(const FileBytes& file);                    // libwebp
Image DecodePlain(const FileBytes& file);                   // BMP, and PNM P5 and P6: stb_image

// An image without pixels' values. std::runtime_error when a side is not positive or there are more
// than 2^28 pixels: a broken header must not take the machine's memory.
Image MakeImage(int64_t h, int64_t w, int64_t c);

// The orientation that the EXIF header of a JPEG file asks for, 1 to 8 as in EXIF 2.32, 4.6.4 (tag
// 0x0112); 1 where there is none.
int ExifOrientation(const FileBytes& file);

// Turns and mirrors an image so that it looks as its orientation (1 to 8) means it.
Image Upright(Image image, int orientation);

}  // namespace encke
