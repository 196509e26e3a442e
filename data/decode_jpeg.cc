#include <turbojpeg.h>

#include <memory>
#include <stdexcept>
#include <string_view>

#include "data/image_formats.h"
#include "engine/core/error.h"

namespace encke {
namespace {

struct DestroyDecoder {
  void operator()(void* decoder) const { tjDestroy(decoder); }
};
using Decoder = std::unique_ptr<void, DestroyDecoder>;

// libjpeg fills what is missing with grey and goes on. In a whole file an end-of-image marker
// follows the last start of a scan: nothing inside a scan's data looks like either (ITU T.81,
// B.1.1.5).
bool IsTruncated(const FileBytes& file) {
  const std::string_view text(reinterpret_cast<const char*>(file.data), file.size);
  const size_t scan = text.rfind("\xff\xda");
  return scan == std::string_view::npos || text.find("\xff\xd9", scan) == std::string_view::npos;
}

// What is damaged in the middle is decoded as far as it goes, with a warning that nobody would
// read.
void Check(const Decoder& decoder, int status) {
  if (status != 0 && tjGetErrorCode(decoder.get()) == TJERR_FATAL) {
    throw std::runtime_error(
        StrCat("the JPEG file does not decode: ", tjGetErrorStr2(decoder.get())));
  }
}

void Decompress(const Decoder& decoder, const FileBytes& file, TJPF format, Image* image) {
  Check(decoder,
        tjDecompress2(decoder.get(), file.data, file.size, image->pixels.data(),
                      static_cast<int>(image->w), 0, static_cast<int>(image->h), format, 0));
}

// Adobe's programs, which write nearly all CMYK files, store 255 less the ink: what is left of
// white paper.
Image RgbOfCmyk(const Image& cmyk) {
  Image rgb = MakeImage(cmyk.h, cmyk.w, 3);
  const uint8_t* in = cmyk.pixels.data();
  for (size_t i = 0; i < rgb.pixels.size(); i += 3, in += 4) {
    for (size_t c = 0; c < 3; ++c) rgb.pixels[i + c] = static_cast<uint8_t>(in[c] * in[3] / 255);
  }
  return rgb;
}

Image DecodePixels(const FileBytes& file, int64_t channels) {
  const Decoder decoder(tjInitDecompress());
  if (decoder == nullptr) throw std::runtime_error(tjGetErrorStr2(nullptr));
  int w = 0, h = 0, subsampling = 0, colours = 0;
  Check(decoder,
        tjDecompressHeader3(decoder.get(), file.data, file.size, &w, &h, &subsampling, &colours));
  if (colours == TJCS_CMYK || colours == TJCS_YCCK) {
    Image cmyk = MakeImage(h, w, 4);
    Decompress(decoder, file, TJPF_CMYK, &cmyk);
    return RgbOfCmyk(cmyk);
  }
  Image image = MakeImage(h, w, channels);
  Decompress(decoder, file, channels == 1 ? TJPF_GRAY : TJPF_RGB, &image);
  return image;
}

}  // namespace

Image DecodeJpeg(const FileBytes& file, int64_t channels) {
  if (IsTruncated(file)) throw std::runtime_error("the JPEG file is truncated");
  return Upright(DecodePixels(file, channels), ExifOrientation(file));
}

}  // namespace encke
