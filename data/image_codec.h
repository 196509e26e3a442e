// From the bytes of an image file to pixels, through each format's own library, and conversion of
// channels.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace encke {

// Decodes JPEG, PNG, BMP, TIFF, WebP, PGM or PPM (binary) to 8-bit RGB (`channels` 3) or grey (1):
// 16-bit samples lose their lower byte, alpha is dropped (of TIFF multiplied in), CMYK is
// converted, and an orientation in a JPEG's EXIF header is applied. The first bytes say the format,
// not the file's name. Error(DATA) at `place` when the bytes are no image, or only part of one.
Image DecodeImage(const std::vector<uint8_t>& bytes, int64_t channels, const std::string& place);

// Grey to RGB by repetition, RGB to grey by the weights of ITU-R BT.601. REQUIRES: both are 1 or 3.
Image ConvertChannels(Image image, int64_t channels);

}  // namespace encke
