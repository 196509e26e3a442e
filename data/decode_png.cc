#include <png.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "data/image_formats.h"
#include "engine/core/error.h"

namespace encke {
namespace {

// What libpng reads from, and what it says when it gives up. It leaves by longjmp, past which no
// destructor runs: everything with one lives here, outside of the calls.
struct Reading {
  FileBytes left;
  Image image;
  std::vector<png_bytep> rows;
  std::string error;
};

void ReadBytes(png_structp png, png_bytep out, size_t count) {
  auto* reading = static_cast<Reading*>(png_get_io_ptr(png));
  if (count > reading->left.size) png_error(png, "it is truncated");
  std::memcpy(out, reading->left.data, count);
  reading->left.data += count;
  reading->left.size -= count;
}

[[noreturn]] void Fail(png_structp png, png_const_charp message) {
  try {
    static_cast<Reading*>(png_get_error_ptr(png))->error = message;
  } catch (...) {  // no memory for the message: an empty one
  }
  png_longjmp(png, 1);
}

void Ignore(png_structp /*png*/, png_const_charp /*warning*/) {}

// False where a side is not sensible; may throw std::bad_alloc, so not inside libpng.
bool Allocate(int64_t h, int64_t w, int64_t c, Reading* reading) {
  try {
    reading->image = MakeImage(h, w, c);
    reading->rows.resize(static_cast<size_t>(h));
  } catch (const std::exception& error) {
    reading->error = error.what();
    return false;
  }
  for (int64_t y = 0; y < h; ++y) {
    reading->rows[static_cast<size_t>(y)] = reading->image.pixels.data() + y * w * c;
  }
  return true;
}

// False with reading->error set. No object with a destructor may live in this frame.
bool Read(png_structp png, png_infop info, Reading* reading) {
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  png_set_read_fn(png, reading, ReadBytes);
  png_read_info(png, info);
  png_set_expand(png);  // palettes to RGB, grey of less than 8 bits to 8, transparency to alpha
  png_set_strip_16(png);
  png_set_strip_alpha(png);
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
  if (!Allocate(png_get_image_height(png, info), png_get_image_width(png, info),
                png_get_channels(png, info), reading)) {
    return false;
  }
  png_read_image(png, reading->rows.data());
  png_read_end(png, nullptr);
  return true;
}

}  // namespace

Image DecodePng(const FileBytes& file) {
  Reading reading = {file, {}, {}, {}};
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reading, Fail, Ignore);
  png_infop info = png == nullptr ? nullptr : png_create_info_struct(png);
  const bool whole = info != nullptr && Read(png, info, &reading);
  png_destroy_read_struct(&png, &info, nullptr);
  if (!whole) throw std::runtime_error(StrCat("the PNG file does not decode: ", reading.error));
  return std::move(reading.image);
}

}  // namespace encke
