#include "tools/encke/codec_input.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "engine/core/error.h"
#include "engine/core/npy.h"
#include "engine/core/rng.h"

namespace encke::cli {
namespace {

namespace fs = std::filesystem;

constexpr char kBoundSuffix[] = ".bound.npy";
constexpr char kMaskSuffix[] = ".mask";
constexpr char kActivitySuffix[] = ".activity.npy";
constexpr size_t kNumberDigits = 5;  // "0007_" in front of the value's name

bool EndsWith(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

std::string WithoutEnd(const std::string& text, const std::string& end) {
  return EndsWith(text, end) ? text.substr(0, text.size() - end.size()) : text;
}

// Rows of thresholds, signs and inactive bounds, one column a channel.
Activity ReadActivity(const std::string& path, int64_t channels) {
  const NpyArray array = ReadNpy(path);
  if (array.shape != std::vector<int64_t>{3, channels}) {
    throw Error(ErrorKind::DATA, "this activity does not fit the value", path,
                StrCat("3 rows of ", channels, " columns: thresholds, signs, inactive bounds"));
  }
  Activity activity;
  for (int64_t c = 0; c < channels; ++c) {
    activity.threshold.push_back(array.data[c]);
    activity.sign.push_back(static_cast<int8_t>(array.data[channels + c]));
    activity.inactive_bound.push_back(array.data[2 * channels + c]);
  }
  return activity;
}

// `bound_path` is ".../0007_conv1.mask.bound.npy" or without ".mask"; beside it lies
// ".../0007_conv1.npy", and perhaps ".../0007_conv1.activity.npy".
CodecInput ReadDumped(const std::string& bound_path) {
  const std::string stem = WithoutEnd(bound_path, kBoundSuffix);
  const std::string base = WithoutEnd(stem, kMaskSuffix);
  NpyArray array = ReadNpy(base + ".npy");
  std::vector<float> bounds = ReadNpy(bound_path).data;
  if (array.shape.size() != 4) {
    throw Error(ErrorKind::DATA, StrCat("has ", array.shape.size(), " dimensions, not 4"),
                base + ".npy", "a saved value has samples, height, width and channels");
  }
  CodecInput input;
  const std::string name = fs::path(base).filename().string();
  input.layer = name.size() > kNumberDigits ? name.substr(kNumberDigits) : name;
  input.shape = {array.shape[0], array.shape[1], array.shape[2], array.shape[3]};
  input.data = std::move(array.data);
  input.options.mask = EndsWith(stem, kMaskSuffix);
  const bool usable =
      std::all_of(bounds.begin(), bounds.end(), [](float b) { return std::isfinite(b) && b >= 0; });
  const auto count = static_cast<int64_t>(bounds.size());
  if (!usable || (count != 1 && count != input.shape.c)) {
    throw Error(
        ErrorKind::DATA, StrCat("these ", count, " bounds do not fit the value"), bound_path,
        StrCat("one bound, or ", input.shape.c, " (one a channel), finite and not below 0"));
  }
  input.options.bound =
      count == 1 ? ErrorBound::Uniform(bounds[0]) : ErrorBound::PerChannel(std::move(bounds));
  const std::string activity_path = base + kActivitySuffix;
  if (fs::exists(activity_path)) {
    input.options.activity = ReadActivity(activity_path, input.shape.c);
  }
  return input;
}

// Gaussian noise, blurred by 3x3 along h and w as often as told, of deviation 1 after one blur.
std::vector<float> Smooth(const Shape& shape, int blurs) {
  Rng rng(1, RngStream::SYNTHETIC);
  std::vector<float> maps(shape.elements());
  for (float& x : maps) x = static_cast<float>(rng.Normal());
  for (int blur = 0; blur < blurs; ++blur) {
    const std::vector<float> before = maps;
    for (int64_t i = 0; i < shape.elements(); ++i) {
      const int64_t c = i % shape.c, w = i / shape.c % shape.w;
      const int64_t h = i / shape.c / shape.w % shape.h, first = i - i % shape.sample();
      float sum = 0;
      for (int64_t dh = -1; dh <= 1; ++dh) {
        for (int64_t dw = -1; dw <= 1; ++dw) {
          const int64_t row = (h + dh + shape.h) % shape.h, column = (w + dw + shape.w) % shape.w;
          sum += before[first + (row * shape.w + column) * shape.c + c];
        }
      }
      maps[i] = sum / 3;
    }
  }
  return maps;
}

CodecInput ReluSample() {
  CodecInput input{"sample:relu", {8, 28, 28, 64}, {}, {}};
  input.data = Smooth(input.shape, 1);
  for (size_t i = 0; i < input.data.size(); ++i) {
    const auto threshold = 0.05f * static_cast<float>(i % 64 % 11);
    input.data[i] = std::max(input.data[i] - threshold, 0.0f);
  }
  input.options.bound = ErrorBound::Uniform(0.1f);
  input.options.mask = true;
  return input;
}

CodecInput NormSample() {
  CodecInput input{"sample:norm", {8, 28, 28, 64}, {}, {}};
  input.data = Smooth(input.shape, 1);
  std::vector<float> bounds;
  for (int64_t c = 0; c < input.shape.c; ++c) {
    const float deviation = 0.1f * static_cast<float>(c % 13 + 1);
    for (size_t i = c; i < input.data.size(); i += 64) {
      input.data[i] = deviation * (input.data[i] + static_cast<float>(c % 5));
    }
    bounds.push_back(0.25f * deviation);
  }
  input.options.bound = ErrorBound::PerChannel(std::move(bounds));
  return input;
}

// What the batch norm and the ReLU behind it read: the active side as fine as the ReLU's output
// would be kept, the rest in cells of half a deviation.
CodecInput SplitSample() {
  CodecInput input = NormSample();
  input.layer = "sample:split";
  for (int64_t c = 0; c < input.shape.c; ++c) {
    float& bound = input.options.bound.channel[c];
    const float deviation = 4 * bound;
    input.options.activity.threshold.push_back(
        deviation * (static_cast<float>(c % 5) + 0.05f * static_cast<float>(c % 11)));
    input.options.activity.sign.push_back(1);
    input.options.activity.inactive_bound.push_back(0.5f * deviation);
    bound = 0.1f * deviation;
  }
  return input;
}

CodecInput SmoothSample() {
  CodecInput input{"sample:smooth", {2, 112, 112, 16}, {}, {}};
  input.data = Smooth(input.shape, 3);
  input.options.bound = ErrorBound::Uniform(0.01f);
  return input;
}

CodecInput RandomSample() {
  CodecInput input{"sample:random", {4, 14, 14, 64}, {}, {}};
  Rng rng(2, RngStream::SYNTHETIC);
  for (int64_t i = 0; i < input.shape.elements(); ++i) {
    const uint32_t bits = rng.NextU32();
    float value;
    std::memcpy(&value, &bits, sizeof(value));
    input.data.push_back(value);
  }
  input.options.bound = ErrorBound::Uniform(0.001f);
  return input;
}

CodecInput TinySample() {
  CodecInput input{"sample:tiny", {1, 1, 1, 10}, {}, {}};
  input.data = Smooth(input.shape, 0);
  input.options.bound = ErrorBound::Uniform(0.01f);
  return input;
}

}  // namespace

std::string KindOf(const CodecInput& input) {
  if (input.options.mask) return "relu";
  if (!input.options.activity.empty()) return "split";
  return input.options.bound.channel.empty() ? "other" : "norm";
}

std::vector<CodecInputSource> DumpedInputs(const std::string& folder) {
  std::vector<std::string> paths;
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(folder, failure)) {
    if (EndsWith(entry.path().string(), kBoundSuffix)) paths.push_back(entry.path().string());
  }
  if (failure) throw Error(ErrorKind::DATA, "cannot read the folder: " + failure.message(), folder);
  if (paths.empty()) {
    throw Error(ErrorKind::DATA, "there are no dumped values here", folder,
                "encke train CONFIG --dump-activations DIR --at-iteration N writes them");
  }
  std::sort(paths.begin(), paths.end());
  std::vector<CodecInputSource> sources;
  for (const std::string& path : paths) {
    sources.emplace_back([path] { return ReadDumped(path); });
  }
  return sources;
}

std::vector<CodecInputSource> SampleInputs() {
  return {ReluSample, NormSample, SplitSample, SmoothSample, RandomSample, TinySample};
}

}  // namespace encke::cli
