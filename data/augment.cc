#include "data/augment.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <opencv2/imgproc.hpp>
#include <utility>

namespace encke {
namespace {

// A rectangle of an image, in pixels.
struct Window {
  int64_t y, x, h, w;
};

// OpenCV's view of `pixels`; the caller writes to it only where the pixels are its own.
cv::Mat View(const uint8_t* pixels, int64_t h, int64_t w, int64_t c) {
  return cv::Mat(static_cast<int>(h), static_cast<int>(w), CV_8UC(static_cast<int>(c)),
                 const_cast<uint8_t*>(pixels));
}

// Averages where the result is smaller, interpolates where it is larger.
void Resize(const Image& image, const Window& window, int64_t h, int64_t w, uint8_t* out) {
  const cv::Mat from = View(image.pixels.data(), image.h, image.w, image.c)(
      cv::Rect(static_cast<int>(window.x), static_cast<int>(window.y), static_cast<int>(window.w),
               static_cast<int>(window.h)));
  cv::Mat to = View(out, h, w, image.c);
  const bool smaller = h < window.h || w < window.w;
  cv::resize(from, to, to.size(), 0, 0, smaller ? cv::INTER_AREA : cv::INTER_LINEAR);
}

Image ResizeShorter(const Image& image, int64_t shorter) {
  const int64_t side = std::min(image.h, image.w);
  const auto scaled = [&](int64_t extent) { return (extent * shorter + side / 2) / side; };
  Image result{scaled(image.h), scaled(image.w), image.c, {}};
  result.pixels.resize(static_cast<size_t>(result.h * result.w * result.c));
  Resize(image, {0, 0, image.h, image.w}, result.h, result.w, result.pixels.data());
  return result;
}

// Copies the pixels from (y, x) on; what lies outside of the image is zero.
void CopyWindow(const Image& image, int64_t y, int64_t x, const Shape& sample, uint8_t* out) {
  const int64_t left = std::clamp<int64_t>(-x, 0, sample.w);
  const int64_t right = std::clamp<int64_t>(image.w - x, left, sample.w);
  for (int64_t row = 0; row < sample.h; ++row, out += sample.w * sample.c) {
    const int64_t from = y + row;
    if (from < 0 || from >= image.h) {
      std::memset(out, 0, static_cast<size_t>(sample.w * sample.c));
      continue;
    }
    const uint8_t* in = image.pixels.data() + (from * image.w + x + left) * image.c;
    std::memset(out, 0, static_cast<size_t>(left * image.c));
    std::memcpy(out + left * image.c, in, static_cast<size_t>((right - left) * image.c));
    std::memset(out + right * image.c, 0, static_cast<size_t>((sample.w - right) * image.c));
  }
}

int64_t CenterStart(int64_t extent, int64_t wanted) {
  return (extent - wanted) / 2;  // negative where the image is smaller
}

// Uniform over all places inside of the padded image; the centre where none fits.
int64_t RandomStart(int64_t extent, int64_t wanted, int64_t padding, Rng& rng) {
  const int64_t places = extent + 2 * padding - wanted + 1;
  if (places < 1) return CenterStart(extent, wanted);
  return static_cast<int64_t>(rng.Below(static_cast<uint64_t>(places))) - padding;
}

// Resizes as for evaluation, then copies a window: a random one, or the centre when `rng` is null.
void CropWindow(const Image& image, int64_t resize_shorter, int64_t padding, Rng* rng,
                const Shape& sample, uint8_t* out) {
  const int64_t shorter = resize_shorter > 0 ? resize_shorter : std::max(sample.h, sample.w);
  Image resized;
  const bool fits = std::min(image.h, image.w) == shorter;
  if (!fits) resized = ResizeShorter(image, shorter);
  const Image& source = fits ? image : resized;
  const int64_t y = rng == nullptr ? CenterStart(source.h, sample.h)
                                   : RandomStart(source.h, sample.h, padding, *rng);
  const int64_t x = rng == nullptr ? CenterStart(source.w, sample.w)
                                   : RandomStart(source.w, sample.w, padding, *rng);
  CopyWindow(source, y, x, sample, out);
}

double Between(double low, double high, Rng& rng) { return low + (high - low) * rng.Uniform(); }

// The largest window in the centre with an aspect ratio in the range.
Window CenterWindow(const Image& image, const AugmentOptions& options) {
  const double h = static_cast<double>(image.h), w = static_cast<double>(image.w);
  const double aspect = std::clamp<double>(w / h, options.min_aspect, options.max_aspect);
  const int64_t window_h = std::clamp<int64_t>(std::lround(w / aspect), 1, image.h);
  const int64_t window_w = std::clamp<int64_t>(std::lround(h * aspect), 1, image.w);
  return {CenterStart(image.h, window_h), CenterStart(image.w, window_w), window_h, window_w};
}

// Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, section 6; the aspect ratio is
// uniform in its logarithm, ten tries, then the centre.
Window RandomWindow(const Image& image, const AugmentOptions& options, Rng& rng) {
  const double area = static_cast<double>(image.h) * static_cast<double>(image.w);
  for (int i = 0; i < 10; ++i) {
    const double part = area * Between(options.min_area, options.max_area, rng);
    const double aspect =
        std::exp(Between(std::log(options.min_aspect), std::log(options.max_aspect), rng));
    const int64_t w = std::lround(std::sqrt(part * aspect));
    const int64_t h = std::lround(std::sqrt(part / aspect));
    if (w < 1 || h < 1 || w > image.w || h > image.h) continue;
    const int64_t y = RandomStart(image.h, h, 0, rng);
    const int64_t x = RandomStart(image.w, w, 0, rng);
    return {y, x, h, w};
  }
  return CenterWindow(image, options);
}

void Flip(const Shape& sample, uint8_t* out) {
  const int64_t c = sample.c;
  for (int64_t y = 0; y < sample.h; ++y, out += sample.w * c) {
    uint8_t* left = out;
    uint8_t* right = out + (sample.w - 1) * c;
    for (; left < right; left += c, right -= c) {
      for (int64_t i = 0; i < c; ++i) std::swap(left[i], right[i]);
    }
  }
}

float Luma(const uint8_t* rgb) { return 0.299f * rgb[0] + 0.587f * rgb[1] + 0.114f * rgb[2]; }

float MeanLuma(const Shape& sample, const uint8_t* pixels) {
  double sum = 0;
  const int64_t count = sample.h * sample.w;
  for (int64_t i = 0; i < count; ++i) {
    sum += sample.c == 3 ? Luma(pixels + 3 * i) : pixels[i];
  }
  return static_cast<float>(sum / static_cast<double>(count));
}

uint8_t ToByte(float value) { return static_cast<uint8_t>(std::clamp(value + 0.5f, 0.0f, 255.0f)); }

// Brightness b scales; contrast k blends with the mean grey m of the result; saturation s blends
// with each pixel's own grey g. Together, rounded and clamped only once:
//   v' = b k (s v + (1 - s) g) + b (1 - k) m
void JitterColour(const AugmentOptions& options, Rng& rng, const Shape& sample, uint8_t* out) {
  const auto factor = [&rng](float range) {
    return static_cast<float>(Between(1 - range, 1 + range, rng));
  };
  const float b = factor(options.brightness), k = factor(options.contrast);
  const float s = factor(options.saturation);
  const float base = b * (1 - k) * MeanLuma(sample, out);
  for (int64_t i = 0; i < sample.h * sample.w; ++i, out += sample.c) {
    const float grey = sample.c == 3 ? Luma(out) : out[0];
    for (int64_t c = 0; c < sample.c; ++c) {
      out[c] = ToByte(b * k * (s * out[c] + (1 - s) * grey) + base);
    }
  }
}

}  // namespace

void CenterCrop(const Image& image, int64_t resize_shorter, const Shape& sample, uint8_t* out) {
  CropWindow(image, resize_shorter, 0, nullptr, sample, out);
}

void Augment(const Image& image, const AugmentOptions& options, int64_t resize_shorter, Rng& rng,
             const Shape& sample, uint8_t* out) {
  if (options.random_resized_crop) {
    Resize(image, RandomWindow(image, options, rng), sample.h, sample.w, out);
  } else {
    Rng* crop = options.crop_padding > 0 ? &rng : nullptr;
    CropWindow(image, resize_shorter, options.crop_padding, crop, sample, out);
  }
  if (options.flip && rng.Below(2) == 1) Flip(sample, out);
  if (options.brightness > 0 || options.contrast > 0 || options.saturation > 0) {
    JitterColour(options, rng, sample, out);
  }
}

}  // namespace encke
