// Made-up images that a network can learn to tell apart: a class is a sum of plane waves, an image
// is that sum at a random shift, with noise. Nothing is stored.
#include <array>
#include <cmath>
#include <utility>

#include "data/formats.h"
#include "engine/core/error.h"
#include "engine/core/rng.h"

namespace encke {
namespace {

constexpr int64_t kDefaultSize = 8192;
constexpr int kDefaultClasses = 10;
constexpr int kWaves = 3;
constexpr int kHighestFrequency = 4;   // periods over the image
constexpr float kAmplitude = 25;       // of each wave
constexpr float kNoise = 48.0f / 128;  // noise is uniform in [-48, 48): no value leaves [0, 255]
constexpr double kTurn = 6.283185307179586;
constexpr uint64_t kClassSubstream = uint64_t{1} << 60;  // apart from those of the images
constexpr uint64_t kTestSubstream = uint64_t{1} << 59;

struct Wave {
  int vertical, horizontal;     // frequencies
  std::array<double, 3> phase;  // of each channel, in turns
};
using Pattern = std::array<Wave, kWaves>;

Pattern MakePattern(uint64_t seed, int label) {
  Rng rng(seed, RngStream::SYNTHETIC, kClassSubstream + static_cast<uint64_t>(label));
  Pattern pattern;
  for (Wave& wave : pattern) {
    wave.vertical = static_cast<int>(rng.Below(kHighestFrequency + 1));
    wave.horizontal = static_cast<int>(rng.Below(kHighestFrequency)) + 1;
    if (rng.Below(2) == 1) wave.horizontal = -wave.horizontal;
    for (double& phase : wave.phase) phase = rng.Uniform();
  }
  return pattern;
}

// cos(a + b) = cos a cos b - sin a sin b takes the waves apart into a factor of the row and one of
// the column.
class Painter {
 public:
  Painter(const Pattern& pattern, int64_t w, int64_t c, double shift_x) : width_(w * c) {
    for (int k = 0; k < kWaves; ++k) {
      for (std::vector<float>* table : {&cosine_[k], &sine_[k]}) {
        table->resize(static_cast<size_t>(width_));
      }
      for (int64_t i = 0; i < width_; ++i) {
        const Wave& wave = pattern[k];
        const double x = static_cast<double>(i / c) / static_cast<double>(w) + shift_x;
        const double turns = wave.horizontal * x + wave.phase[static_cast<size_t>(i % c)];
        cosine_[k][static_cast<size_t>(i)] =
            static_cast<float>(kAmplitude * std::cos(kTurn * turns));
        sine_[k][static_cast<size_t>(i)] = static_cast<float>(kAmplitude * std::sin(kTurn * turns));
      }
    }
    noise_.resize(static_cast<size_t>(width_ + 3) / 4);
  }

  // The row at `y`, in parts of the height.
  void PaintRow(const Pattern& pattern, double y, Rng& rng, uint8_t* out) {
    float a[kWaves], b[kWaves];
    for (int k = 0; k < kWaves; ++k) {
      a[k] = static_cast<float>(std::cos(kTurn * pattern[k].vertical * y));
      b[k] = static_cast<float>(std::sin(kTurn * pattern[k].vertical * y));
    }
    for (uint32_t& word : noise_) word = rng.NextU32();
    const uint8_t* noise = reinterpret_cast<const uint8_t*>(noise_.data());
    for (int64_t i = 0; i < width_; ++i) {
      float value = 128 + kNoise * (static_cast<float>(noise[i]) - 127.5f);
      for (int k = 0; k < kWaves; ++k) value += a[k] * cosine_[k][i] - b[k] * sine_[k][i];
      out[i] = static_cast<uint8_t>(value);
    }
  }

 private:
  int64_t width_;                      // values in a row
  std::vector<float> cosine_[kWaves];  // of the column's part, for each value of a row
  std::vector<float> sine_[kWaves];
  std::vector<uint32_t> noise_;
};

class SyntheticDataset : public Dataset {
 public:
  SyntheticDataset(const DatasetOptions& options, Split split)
      : options_(options),
        classes_(options.classes > 0 ? options.classes : kDefaultClasses),
        first_substream_(split == Split::TEST ? kTestSubstream : 0) {
    for (int label = 0; label < classes_; ++label) {
      patterns_.push_back(MakePattern(options.seed, label));
    }
  }

  int64_t size() const override { return options_.limit > 0 ? options_.limit : kDefaultSize; }
  int classes() const override { return classes_; }
  std::vector<std::string> class_names() const override { return {}; }
  int label(int64_t index) const override { return static_cast<int>(index % classes_); }

  Image Read(int64_t index) const override {
    const int64_t h = options_.height, w = options_.width, c = options_.channels;
    Rng rng(options_.seed, RngStream::SYNTHETIC, first_substream_ + static_cast<uint64_t>(index));
    const double shift_x = rng.Uniform(), shift_y = rng.Uniform();
    const Pattern& pattern = patterns_[static_cast<size_t>(label(index))];
    Painter painter(pattern, w, c, shift_x);
    Image image{h, w, c, std::vector<uint8_t>(static_cast<size_t>(h * w * c))};
    for (int64_t y = 0; y < h; ++y) {
      const double position = static_cast<double>(y) / static_cast<double>(h) + shift_y;
      painter.PaintRow(pattern, position, rng, image.pixels.data() + y * w * c);
    }
    return image;
  }

 private:
  DatasetOptions options_;
  int classes_;
  uint64_t first_substream_;
  std::vector<Pattern> patterns_;  // by class
};

}  // namespace

std::unique_ptr<Dataset> OpenSynthetic(const DatasetOptions& options, Split split) {
  if (options.height < 1 || options.width < 1) {
    throw Error(ErrorKind::CONFIG,
                StrCat("synthetic images need a size, not ", options.height, "x", options.width));
  }
  return std::make_unique<SyntheticDataset>(options, split);
}

}  // namespace encke
