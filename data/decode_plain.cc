#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_NO_STDIO
#define STBI_ONLY_BMP
#define STBI_ONLY_PNM
#include <stb/stb_image.h>

#include <algorithm>
#include <cctype>
#include <climits>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "data/image_formats.h"
#include "engine/core/error.h"

namespace encke {
namespace {

uint32_t LittleEndian(const FileBytes& file, size_t offset, size_t bytes) {
  uint32_t value = 0;
  for (size_t i = bytes; i-- > 0;) value = value << 8 | file.data[offset + i];
  return value;
}

// Where the pixels of a PGM or PPM begin: after the magic, width, height and greatest value, with
// white space or comments between them, and one white space. The file's size where they don't.
size_t PnmPixels(const FileBytes& file) {
  size_t at = 2;
  for (int number = 0; number < 3; ++number) {
    while (at < file.size && std::isdigit(file.data[at]) == 0) {
      const bool comment = file.data[at] == '#';
      while (comment && at < file.size && file.data[at] != '\n') ++at;
      ++at;
    }
    while (at < file.size && std::isdigit(file.data[at]) != 0) ++at;
  }
  return std::min(at + 1, file.size);
}

// The least size of a file with such pixels; stb_image takes missing ones for black.
// REQUIRES: stb_image has read the header.
size_t WholeSize(const FileBytes& file, int64_t w, int64_t h, int64_t channels) {
  if (FormatOf(file) == ImageFormat::PNM) {
    const bool two_bytes = stbi_is_16_bit_from_memory(file.data, static_cast<int>(file.size)) != 0;
    return PnmPixels(file) + static_cast<size_t>(w * h * channels * (two_bytes ? 2 : 1));
  }
  constexpr size_t kOffsetAt = 10, kHeaderSizeAt = 14, kHeaders = 30;
  if (file.size < kHeaders) return kHeaders;
  const bool old = LittleEndian(file, kHeaderSizeAt, 4) == 12;  // OS/2 1.x
  const int64_t bits = LittleEndian(file, old ? 24 : 28, 2);
  return LittleEndian(file, kOffsetAt, 4) + static_cast<size_t>((w * bits + 31) / 32 * 4 * h);
}

}  // namespace

Image DecodePlain(const FileBytes& file) {
  if (file.size > INT_MAX) throw std::runtime_error("the image file is larger than 2 GiB");
  const int size = static_cast<int>(file.size);
  int w = 0, h = 0, stored = 0;
  if (stbi_info_from_memory(file.data, size, &w, &h, &stored) == 0) {
    throw std::runtime_error(
        StrCat("the image file has no valid header (", stbi_failure_reason(), ")"));
  }
  Image image = MakeImage(h, w, stored <= 2 ? 1 : 3);
  if (file.size < WholeSize(file, w, h, stored)) {
    throw std::runtime_error("the image file is truncated");
  }
  const std::unique_ptr<stbi_uc, void (*)(void*)> pixels(
      stbi_load_from_memory(file.data, size, &w, &h, &stored, static_cast<int>(image.c)),
      stbi_image_free);
  if (pixels == nullptr) {
    throw std::runtime_error(
        StrCat("the image file does not decode (", stbi_failure_reason(), ")"));
  }
  std::memcpy(image.pixels.data(), pixels.get(), image.pixels.size());
  return image;
}

}  // namespace encke
