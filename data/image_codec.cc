#include "data/image_codec.h"

#include <stdexcept>

#include "data/image_formats.h"
#include "engine/core/error.h"

namespace encke {
namespace {

// With as many channels as are at hand, `channels` where the format allows it.
Image Decode(const FileBytes& file, int64_t channels) {
  if (file.size == 0) throw std::runtime_error("the image file is empty");
  switch (FormatOf(file)) {
    case ImageFormat::JPEG:
      return DecodeJpeg(file, channels);
    case ImageFormat::PNG:
      return DecodePng(file);
    case ImageFormat::TIFF:
      return DecodeTiff(file);
    case ImageFormat::WEBP:
      return DecodeWebp(file);
    case ImageFormat::BMP:
    case ImageFormat::PNM:
      return DecodePlain(file);
    case ImageFormat::UNKNOWN:
      break;
  }
  throw std::runtime_error(
      "the image does not decode: its first bytes are not those of JPEG, PNG, BMP, TIFF, WebP, PGM "
      "or PPM");
}

}  // namespace

Image DecodeImage(const std::vector<uint8_t>& bytes, int64_t channels, const std::string& place) {
  try {
    return ConvertChannels(Decode({bytes.data(), bytes.size()}, channels), channels);
  } catch (const std::runtime_error& error) {
    throw Error(ErrorKind::DATA, error.what(), place,
                "replace or remove the file, or set data.skip_broken to go on without it");
  }
}

Image ConvertChannels(Image image, int64_t channels) {
  if (image.c == channels) return image;
  ENCKE_CHECK((image.c == 1 || image.c == 3) && (channels == 1 || channels == 3), image.c, " to ",
              channels);
  Image converted{image.h, image.w, channels, {}};
  const int64_t count = image.h * image.w;
  converted.pixels.resize(static_cast<size_t>(count * channels));
  const uint8_t* in = image.pixels.data();
  uint8_t* out = converted.pixels.data();
  for (int64_t i = 0; i < count; ++i) {
    if (channels == 1) {  // the weights 0.299, 0.587, 0.114 in 1/256
      out[i] = static_cast<uint8_t>(
          (77 * in[3 * i] + 150 * in[3 * i + 1] + 29 * in[3 * i + 2] + 128) >> 8);
    } else {
      out[3 * i] = out[3 * i + 1] = out[3 * i + 2] = in[i];
    }
  }
  return converted;
}

}  // namespace encke
