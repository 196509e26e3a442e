#include "data/image_formats.h"

#include <libexif/exif-data.h>

#include <cstring>
#include <stdexcept>

#include "engine/core/error.h"

namespace encke {
namespace {

constexpr int64_t kMostPixels = int64_t{1} << 28;

}  // namespace

bool FileBytes::StartsWith(const char* magic, size_t length, size_t offset) const {
  return size >= offset + length && std::memcmp(data + offset, magic, length) == 0;
}

ImageFormat FormatOf(const FileBytes& file) {
  if (file.StartsWith("\xff\xd8", 2)) return ImageFormat::JPEG;
  if (file.StartsWith("\x89PNG\r\n\x1a\n", 8)) return ImageFormat::PNG;
  if (file.StartsWith("II*\0", 4) || file.StartsWith("MM\0*", 4)) return ImageFormat::TIFF;
  if (file.StartsWith("RIFF", 4) && file.StartsWith("WEBP", 4, 8)) return ImageFormat::WEBP;
  if (file.StartsWith("BM", 2)) return ImageFormat::BMP;
  if (file.StartsWith("P5", 2) || file.StartsWith("P6", 2)) return ImageFormat::PNM;
  return ImageFormat::UNKNOWN;
}

Image MakeImage(int64_t h, int64_t w, int64_t c) {
  if (h <= 0 || w <= 0 || h > kMostPixels / w) {
    throw std::runtime_error(StrCat("the image's size of ", w, "x", h, " pixels is not sensible"));
  }
  Image image{h, w, c, {}};
  image.pixels.resize(static_cast<size_t>(h * w * c));
  return image;
}

int ExifOrientation(const FileBytes& file) {
  if (file.size > UINT32_MAX) return 1;
  ExifData* exif = exif_data_new_from_data(file.data, static_cast<unsigned>(file.size));
  if (exif == nullptr) return 1;
  int orientation = 1;
  const ExifEntry* entry = exif_content_get_entry(exif->ifd[EXIF_IFD_0], EXIF_TAG_ORIENTATION);
  if (entry != nullptr && entry->format == EXIF_FORMAT_SHORT && entry->components == 1) {
    orientation = exif_get_short(entry->data, exif_data_get_byte_order(exif));
  }
  exif_data_unref(exif);
  return orientation >= 1 && orientation <= 8 ? orientation : 1;
}

Image Upright(Image image, int orientation) {
  if (orientation == 1) return image;
  // Orientations 5 to 8 exchange rows and columns; of the stored image, these are then read from
  // the far end.
  const bool exchanged = orientation >= 5;
  const bool from_right =
      orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool from_bottom =
      orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  Image upright = MakeImage(exchanged ? image.w : image.h, exchanged ? image.h : image.w, image.c);
  uint8_t* out = upright.pixels.data();
  for (int64_t y = 0; y < upright.h; ++y) {
    for (int64_t x = 0; x < upright.w; ++x, out += image.c) {
      const int64_t row = exchanged ? x : y, column = exchanged ? y : x;
      const int64_t from_y = from_bottom ? image.h - 1 - row : row;
      const int64_t from_x = from_right ? image.w - 1 - column : column;
      std::memcpy(out, image.pixels.data() + (from_y * image.w + from_x) * image.c,
                  static_cast<size_t>(image.c));
    }
  }
  return upright;
}

}  // namespace encke
