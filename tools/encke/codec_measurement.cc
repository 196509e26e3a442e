#include "tools/encke/codec_measurement.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <unordered_map>

#include "compression/activation_store.h"
#include "compression/value_coding.h"
#include "engine/core/error.h"
#include "engine/core/parallel.h"

namespace encke::cli {
namespace {

constexpr double kMostSeconds = 2;  // no further repeat of a slow codec after that
constexpr int kContexts = 9;

bool SameBits(float a, float b) { return std::memcmp(&a, &b, sizeof(a)) == 0; }

// In bounds; exact for floats whose exponents lie less than 30 apart.
double RelativeError(float original, float decoded, float bound) {
  const double difference = std::abs(static_cast<double>(original) - decoded);
  if (difference == 0) return 0;
  return std::isnan(difference) ? std::numeric_limits<double>::infinity() : difference / bound;
}

// A pool and memory for one value.
class Bench {
 public:
  explicit Bench(const CodecInput& input)
      : input_(input),
        allocator_(NewCpuAllocator()),
        original_(Empty(input.shape)),
        decoded_(Empty(input.shape)),
        store_(NewCompressedStore(*allocator_, StoreOptions())) {
    std::memcpy(original_.raw(), input.data.data(), input.bytes());
  }

  void Measure(int threads, int repeats, CodecTimes* times, CodecMeasurement* result) {
    SetThreads(threads);
    constexpr double kNever = std::numeric_limits<double>::infinity();
    *times = {kNever, kNever, kNever};
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < repeats && (i == 0 || SecondsSince(start) < kMostSeconds); ++i) {
      PutOptions options{result->codec, input_.options};
      std::shared_ptr<const ValueCoding> learnt, again;
      options.learnt = &learnt;
      auto lap = std::chrono::steady_clock::now();
      store_->Put(0, original_, options);
      times->learn_and_encode = std::min(times->learn_and_encode, SecondsSince(lap));
      store_->Release(0);
      options.learnt = &again;
      options.prior = std::make_shared<LearntCoding>(learnt->Learnt());
      lap = std::chrono::steady_clock::now();
      const StoredValue stored = store_->Put(0, original_, options);
      times->encode = std::min(times->encode, SecondsSince(lap));
      lap = std::chrono::steady_clock::now();
      store_->Get(0, 0, input_.shape.n, decoded_);
      times->decode = std::min(times->decode, SecondsSince(lap));
      store_->Release(0);
      result->stored_bytes = stored.stored_bytes;
    }
  }

  const float* decoded() const { return decoded_.data<float>(); }

 private:
  Tensor Empty(const Shape& shape) {
    return Tensor::Empty(*allocator_, shape, DType::F32, MemoryCategory::TRANSIENT);
  }

  const CodecInput& input_;
  std::unique_ptr<Allocator> allocator_;
  Tensor original_, decoded_;
  std::unique_ptr<ActivationStore> store_;
};

float MedianOfChannel(const CodecInput& input, int64_t channel) {
  std::vector<float> values;
  for (size_t i = channel; i < input.data.size(); i += input.shape.c) {
    if (std::isfinite(input.data[i])) values.push_back(input.data[i]);
  }
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<int64_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// The cell of an element of channel `c`, from 1 on if it is active, else 0 or below.
double ActivityCell(float x, int64_t c, const CodecOptions& options) {
  const Activity& activity = options.activity;
  const double side = activity.sign[c] < 0 ? -1 : 1;
  const bool wide = activity.sign[c] == 0 || activity.Active(x, c);
  const double width = options.BoundOf(x, c) * (wide ? 2.0 : 1.0);
  return std::ceil(side * (static_cast<double>(x) - activity.threshold[c]) / width);
}

// The codes that a quantiser without any overhead gives, counted from the channel's median where
// bounds differ by channel.
std::vector<int64_t> CodesOf(const CodecInput& input) {
  std::vector<int64_t> codes(input.data.size());
  for (int64_t c = 0; c < input.shape.c; ++c) {
    const double step = 2.0 * input.options.BoundOf(std::numeric_limits<float>::infinity(), c);
    const bool split = !input.options.activity.empty();
    const bool centered = !split && !input.options.mask && !input.options.bound.channel.empty();
    const double center = centered ? std::nearbyint(MedianOfChannel(input, c) / step) : 0;
    for (size_t i = c; i < input.data.size(); i += input.shape.c) {
      const double code = input.data[i] / step;
      const double rounded = split                ? ActivityCell(input.data[i], c, input.options)
                             : input.options.mask ? std::ceil(code)
                                                  : std::nearbyint(code) - center;
      codes[i] =
          std::isfinite(rounded) ? static_cast<int64_t>(std::clamp(rounded, -1e15, 1e15)) : 0;
    }
  }
  return codes;
}

}  // namespace

CodecErrors CodecErrors::Of(const CodecInput& input, const float* decoded) {
  const Activity& activity = input.options.activity;
  CodecErrors errors;
  double squares = 0;
  int64_t finite = 0;
  for (int64_t i = 0; i < input.shape.elements(); ++i) {
    const float x = input.data[i], y = decoded[i];
    if (!std::isfinite(x)) {
      errors.special_changed += !SameBits(x, y);
      continue;
    }
    const int64_t c = i % input.shape.c;
    const double error = RelativeError(x, y, input.options.BoundOf(x, c));
    errors.greatest = std::max(errors.greatest, error);
    errors.over_bound += error > 1;
    errors.mask_changed += input.options.mask && (x > 0) != (y > 0);
    errors.mask_changed += !activity.empty() && activity.Active(x, c) != activity.Active(y, c);
    squares += error * error;
    ++finite;
  }
  errors.root_mean_square = finite == 0 ? 0 : std::sqrt(squares / static_cast<double>(finite));
  return errors;
}

double ContextEntropyBytes(const CodecInput& input) {
  const std::vector<int64_t> codes = CodesOf(input);
  const Shape& shape = input.shape;
  const auto class_of = [](int64_t code) {
    return static_cast<int>(std::min<int64_t>(std::abs(code), 2));
  };
  std::vector<std::unordered_map<int64_t, int64_t>> counts(kContexts);
  std::vector<int64_t> totals(kContexts);
  for (int64_t i = 0; i < shape.elements(); ++i) {
    if (!std::isfinite(input.data[i])) continue;
    const int64_t w = i / shape.c % shape.w, h = i / shape.c / shape.w % shape.h;
    const int left = w > 0 ? class_of(codes[i - shape.c]) : 0;
    const int upper = h > 0 ? class_of(codes[i - shape.w * shape.c]) : 0;
    ++counts[3 * left + upper][codes[i]];
    ++totals[3 * left + upper];
  }
  double bits = 0;
  for (int k = 0; k < kContexts; ++k) {
    for (const auto& [code, count] : counts[k]) {
      bits -= static_cast<double>(count) *
              std::log2(static_cast<double>(count) / static_cast<double>(totals[k]));
    }
  }
  return bits / 8;
}

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

CodecMeasurement NotYetMeasured(const CodecInput& input, const std::string& codec) {
  CodecMeasurement result;
  result.layer = input.layer;
  result.kind = KindOf(input);
  result.codec = codec;
  result.shape = input.shape;
  result.bounded = FindCodec(codec)->bounded();
  result.raw_bytes = input.bytes();
  return result;
}

std::vector<CodecMeasurement> MeasureCodecs(const CodecInput& input,
                                            const std::vector<std::string>& codecs,
                                            const MeasureOptions& options) {
  Bench bench(input);
  const double entropy_bytes = ContextEntropyBytes(input);
  std::vector<CodecMeasurement> results;
  for (const std::string& codec : codecs) {
    CodecMeasurement result = NotYetMeasured(input, codec);
    result.entropy_bytes = entropy_bytes;
    bench.Measure(1, options.repeats, &result.one_thread, &result);
    result.errors = CodecErrors::Of(input, bench.decoded());
    bench.Measure(options.threads, options.repeats, &result.all_threads.emplace(), &result);
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace encke::cli
