#include <tiffio.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <vector>

#include "data/image_formats.h"
#include "engine/core/error.h"

namespace encke {
namespace {

struct Cursor {
  FileBytes file;
  size_t at = 0;
};

tmsize_t ReadBytes(thandle_t handle, void* out, tmsize_t count) {
  auto* cursor = static_cast<Cursor*>(handle);
  const size_t left = cursor->file.size - std::min(cursor->at, cursor->file.size);
  const size_t taken = std::min(left, static_cast<size_t>(count));
  if (taken > 0) std::memcpy(out, cursor->file.data + cursor->at, taken);
  cursor->at += taken;
  return static_cast<tmsize_t>(taken);
}

tmsize_t WriteBytes(thandle_t /*handle*/, void* /*bytes*/, tmsize_t /*count*/) { return 0; }

toff_t Seek(thandle_t handle, toff_t offset, int from) {
  auto* cursor = static_cast<Cursor*>(handle);
  const size_t base = from == SEEK_CUR ? cursor->at : from == SEEK_END ? cursor->file.size : 0;
  return cursor->at = base + static_cast<size_t>(offset);
}

int Close(thandle_t /*handle*/) { return 0; }

toff_t Size(thandle_t handle) { return static_cast<Cursor*>(handle)->file.size; }

struct CloseTiff {
  void operator()(TIFF* tiff) const { TIFFClose(tiff); }
};

// libtiff's own messages go to stderr, of the whole process; what the user is told comes from here.
void Silence() {
  [[maybe_unused]] static const bool done = [] {
    TIFFSetWarningHandler(nullptr);
    TIFFSetErrorHandler(nullptr);
    return true;
  }();
}

}  // namespace

Image DecodeTiff(const FileBytes& file) {
  Silence();
  Cursor cursor{file};
  const std::unique_ptr<TIFF, CloseTiff> tiff(TIFFClientOpen(
      "image", "rm", &cursor, ReadBytes, WriteBytes, Seek, Close, Size, nullptr, nullptr));
  if (tiff == nullptr) throw std::runtime_error("the TIFF file has no valid directory");
  char reason[1024] = "";
  if (TIFFRGBAImageOK(tiff.get(), reason) == 0)
    throw std::runtime_error(StrCat("the TIFF file does not decode: ", reason));
  uint32_t w = 0, h = 0;
  TIFFGetField(tiff.get(), TIFFTAG_IMAGEWIDTH, &w);
  TIFFGetField(tiff.get(), TIFFTAG_IMAGELENGTH, &h);
  Image rgb = MakeImage(h, w, 3);
  std::vector<uint32_t> raster(static_cast<size_t>(rgb.h * rgb.w));
  constexpr int kStopOnError = 1;
  if (TIFFReadRGBAImageOriented(tiff.get(), w, h, raster.data(), ORIENTATION_TOPLEFT,
                                kStopOnError) == 0) {
    throw std::runtime_error("the TIFF file is truncated or broken");
  }
  for (size_t i = 0; i < raster.size(); ++i) {
    rgb.pixels[3 * i] = static_cast<uint8_t>(TIFFGetR(raster[i]));
    rgb.pixels[3 * i + 1] = static_cast<uint8_t>(TIFFGetG(raster[i]));
    rgb.pixels[3 * i + 2] = static_cast<uint8_t>(TIFFGetB(raster[i]));
  }
  return rgb;
}

}  // namespace encke
