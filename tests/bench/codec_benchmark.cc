// Speed and size of the codecs on built-in samples that look like what training stores. Bytes are
// those of the uncompressed elements, floats or bfloat16; `bits` is stored bits an element,
// `contexts` the entropy of the codes given the classes (0, 1, more) of the left and the upper
// neighbour, `ratio` raw over stored.
//
//   bazel run -c opt //tests/bench:codec_benchmark -- --benchmark_filter=dense
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "compression/codec.h"
#include "compression/value_coding.h"
#include "engine/core/rng.h"

namespace encke {
namespace {

struct Sample {
  std::string name;
  Shape shape;
  std::vector<float> data;
  CodecOptions options;
};

// Gaussian noise, blurred by 3x3 along h and w, of deviation 1.
std::vector<float> Smooth(const Shape& shape, uint64_t seed) {
  Rng rng(seed, RngStream::TEST);
  std::vector<float> noise(shape.elements());
  for (float& x : noise) x = static_cast<float>(rng.Normal());
  const auto at = [&](int64_t h, int64_t w, int64_t c) {
    h = (h + shape.h) % shape.h;
    w = (w + shape.w) % shape.w;
    return noise[(h * shape.w + w) * shape.c + c];
  };
  std::vector<float> smooth(noise.size());
  for (int64_t i = 0; i < shape.elements(); ++i) {
    const int64_t c = i % shape.c, w = i / shape.c % shape.w, h = i / shape.c / shape.w;
    float sum = 0;
    for (int64_t dh = -1; dh <= 1; ++dh) {
      for (int64_t dw = -1; dw <= 1; ++dw) sum += at(h + dh, w + dw, c);
    }
    smooth[i] = sum / 3;
  }
  return smooth;
}

// Behind a ReLU: thresholds differ by channel, 50-70% of the elements are 0.
Sample Relu(const std::string& name, const Shape& shape, float bound) {
  Sample sample{name, shape, Smooth(shape, 1), {}};
  for (int64_t i = 0; i < shape.elements(); ++i) {
    const float threshold = 0.05f * static_cast<float>(i % shape.c % 11);
    sample.data[i] = std::max(sample.data[i] - threshold, 0.0f);
  }
  sample.options.mask = true;
  sample.options.bound = ErrorBound::Uniform(bound);
  return sample;
}

// In front of a batch norm: Gaussian, kept within a quarter of its deviation.
Sample NormInput(const std::string& name, const Shape& shape) {
  Sample sample{name, shape, Smooth(shape, 2), {}};
  sample.options.bound = ErrorBound::PerChannel(std::vector<float>(shape.c, 0.25f));
  return sample;
}

// The same with a ReLU behind the batch norm: the active side kept as its output would be, the rest
// in cells of half a deviation.
Sample SplitInput(const std::string& name, const Shape& shape, float bound) {
  Sample sample{name, shape, Smooth(shape, 1), {}};
  sample.options.bound = ErrorBound::Uniform(bound);
  for (int64_t c = 0; c < shape.c; ++c) {
    sample.options.activity.threshold.push_back(0.05f * static_cast<float>(c % 11));
    sample.options.activity.sign.push_back(1);
    sample.options.activity.inactive_bound.push_back(0.5f);
  }
  return sample;
}

std::vector<Sample> Samples() {
  return {Relu("relu28/fine", {1, 9, 28, 64}, 0.02f),
          Relu("relu28/mid", {1, 9, 28, 64}, 0.1f),
          Relu("relu28/coarse", {1, 9, 28, 64}, 0.3f),
          Relu("relu7/mid", {1, 7, 7, 334}, 0.1f),
          NormInput("norm28", {1, 9, 28, 64}),
          SplitInput("split28/fine", {1, 9, 28, 64}, 0.02f),
          SplitInput("split28/mid", {1, 9, 28, 64}, 0.1f),
          SplitInput("split28/coarse", {1, 9, 28, 64}, 0.3f)};
}

int CodeOf(float x, int64_t c, const CodecOptions& options) {
  const double bound = options.BoundOf(x, c);
  if (options.mask) return static_cast<int>(std::ceil(x / (2 * bound)));
  if (options.activity.empty()) return static_cast<int>(std::nearbyint(x / (2 * bound)));
  const double distance = static_cast<double>(x) - options.activity.threshold[c];
  return static_cast<int>(std::ceil(distance / (distance > 0 ? 2 * bound : bound)));
}

// Bits an element of an ideal coder that knows the distributions in nine contexts.
double ContextEntropy(const Sample& sample) {
  const CodecOptions& options = sample.options;
  std::map<int, std::map<int, double>> counts;
  std::vector<int> codes;
  const auto class_at = [&](int64_t i) { return i < 0 ? 0 : std::min(std::abs(codes[i]), 2); };
  for (int64_t i = 0; i < sample.shape.elements(); ++i) {
    codes.push_back(CodeOf(sample.data[i], i % sample.shape.c, options));
    const int64_t row = sample.shape.w * sample.shape.c;
    ++counts[3 * class_at(i - sample.shape.c) + class_at(i - row)][codes.back()];
  }
  double bits = 0;
  for (const auto& context : counts) {
    double total = 0;
    for (const auto& code : context.second) total += code.second;
    for (const auto& code : context.second) bits -= code.second * std::log2(code.second / total);
  }
  return bits / static_cast<double>(sample.shape.elements());
}

// Chunks at a time.
constexpr int kMost = std::max(kEncodedTogether, kDecodedTogether);

template <typename T>
void Run(benchmark::State& state, const Codec& codec, const Sample& sample, bool decode) {
  constexpr DType kType = DTypeOf<T>::value;
  const std::vector<T> data(sample.data.begin(), sample.data.end());
  ValueCoding coding(sample.options, kType, sample.shape.c);
  codec.Prepare({{data.data(), sample.shape}}, kType, &coding);
  const int64_t most = codec.MaxEncodedSize(sample.shape, kType);
  std::vector<uint8_t> streams(kMost * most);
  std::vector<T> decoded(kMost * data.size());
  EncodeRequest encode[kMost];
  for (int i = 0; i < kMost; ++i) {
    encode[i] = {data.data(), sample.shape, streams.data() + i * most, 0, {}};
  }
  codec.Encode(kType, coding, encode, kMost);
  const int64_t size = encode[0].size;
  DecodeRequest decode_from[kMost];
  for (int i = 0; i < kMost; ++i) {
    decode_from[i] = {encode[i].out, size, sample.shape, decoded.data() + i * data.size()};
  }
  for (auto _ : state) {
    if (decode) {
      codec.Decode(kType, coding, decode_from, kMost);
    } else {
      codec.Encode(kType, coding, encode, kMost);
    }
    benchmark::ClobberMemory();
  }
  const double elements = static_cast<double>(sample.shape.elements());
  state.SetBytesProcessed(state.iterations() * kMost * sample.shape.elements() * SizeOf(kType));
  state.counters["bits"] = 8.0 * static_cast<double>(size) / elements;
  state.counters["contexts"] = ContextEntropy(sample);
  state.counters["ratio"] = SizeOf(kType) * elements / static_cast<double>(size);
}

void RegisterAll() {
  for (const Sample& sample : Samples()) {
    for (const std::string& name : CodecNames()) {
      for (const bool decode : {false, true}) {
        const std::string title = sample.name + "/" + name + (decode ? "/decode" : "/encode");
        benchmark::RegisterBenchmark(title.c_str(), [=](benchmark::State& state) {
          Run<float>(state, *FindCodec(name), sample, decode);
        });
        benchmark::RegisterBenchmark((title + "/bf16").c_str(), [=](benchmark::State& state) {
          Run<bfloat16>(state, *FindCodec(name), sample, decode);
        });
      }
    }
  }
}

}  // namespace
}  // namespace encke

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  encke::RegisterAll();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
