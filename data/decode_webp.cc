#include <webp/decode.h>

#include <stdexcept>

#include "data/image_formats.h"

namespace encke {

Image DecodeWebp(const FileBytes& file) {
  WebPBitstreamFeatures features = {};
  if (WebPGetFeatures(file.data, file.size, &features) != VP8_STATUS_OK) {
    throw std::runtime_error("the WebP file has no valid header");
  }
  if (features.has_animation != 0) throw std::runtime_error("the WebP file is an animation");
  Image rgb = MakeImage(features.height, features.width, 3);
  if (WebPDecodeRGBInto(file.data, file.size, rgb.pixels.data(), rgb.pixels.size(),
                        static_cast<int>(3 * rgb.w)) == nullptr) {
    throw std::runtime_error("the WebP file is truncated or broken");
  }
  return rgb;
}

}  // namespace encke
