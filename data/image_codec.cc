#include "data/image_codec.h"

#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <string_view>

#include "engine/core/error.h"

namespace encke {
namespace {

// libjpeg fills what is missing with grey and goes on. In a whole file an end-of-image marker
// follows the last start of a scan: nothing inside a scan's data looks like either (ITU T.81,
// B.1.1.5).
bool IsTruncatedJpeg(const std::vector<uint8_t>& bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.substr(0, 2) != "\xff\xd8") return false;
  const size_t scan = text.rfind("\xff\xda");
  return scan == std::string_view::npos || text.find("\xff\xd9", scan) == std::string_view::npos;
}

Error BrokenImage(const std::string& message, const std::string& place) {
  return Error(ErrorKind::DATA, message, place,
               "replace or remove the file, or set data.skip_broken to go on without it");
}

cv::Mat Decode(const std::vector<uint8_t>& bytes, int64_t channels, const std::string& place) {
  if (bytes.empty()) throw BrokenImage("the image file is empty", place);
  if (IsTruncatedJpeg(bytes)) throw BrokenImage("the JPEG file is truncated", place);
  cv::Mat decoded;
  try {
    decoded = cv::imdecode(bytes, channels == 1 ? cv::IMREAD_GRAYSCALE : cv::IMREAD_COLOR);
  } catch (const cv::Exception& error) {
    throw BrokenImage(StrCat("the image does not decode (", error.err, ")"), place);
  }
  if (decoded.empty()) throw BrokenImage("the image does not decode", place);
  return decoded;
}

}  // namespace

Image DecodeImage(const std::vector<uint8_t>& bytes, int64_t channels, const std::string& place) {
  const cv::Mat decoded = Decode(bytes, channels, place);
  Image image{decoded.rows, decoded.cols, channels, {}};
  image.pixels.resize(static_cast<size_t>(image.h * image.w * image.c));
  cv::Mat pixels(decoded.rows, decoded.cols, decoded.type(), image.pixels.data());
  if (channels == 1) {
    decoded.copyTo(pixels);
  } else {
    cv::cvtColor(decoded, pixels, cv::COLOR_BGR2RGB);
  }
  return image;
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
