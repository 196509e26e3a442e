#include "tests/compression/codec_testing.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "engine/core/error.h"
#include "engine/core/rng.h"

namespace encke::testing {
namespace {

uint32_t BitsAt(const void* data, DType dtype, int64_t i) {
  if (dtype == DType::F32) return static_cast<const uint32_t*>(data)[i];
  return static_cast<const uint16_t*>(data)[i];
}

float ValueAt(const void* data, DType dtype, int64_t i) {
  if (dtype == DType::F32) return static_cast<const float*>(data)[i];
  return static_cast<float>(static_cast<const bfloat16*>(data)[i]);
}

std::string ElementViolation(float x, float y, bool same, int64_t channel,
                             const CodecOptions& options) {
  const float bound = options.BoundOf(x, channel);
  if (!std::isfinite(x)) return same ? "" : "is not finite and changed";
  if (bound == 0 && !same) return "changed under bound 0";
  // The difference of two floats is exact in a long double unless their exponents lie more than 40
  // apart, and then one ulp of it does not matter.
  const long double error = fabsl(static_cast<long double>(x) - static_cast<long double>(y));
  if (!(error <= static_cast<long double>(bound))) return "breaks the bound";
  if (options.mask && (x > 0) != (y > 0)) return "changed its side of the mask";
  const Activity& activity = options.activity;
  if (!activity.empty() && activity.Active(x, channel) != activity.Active(y, channel)) {
    return "changed its side of the threshold";
  }
  return "";
}

}  // namespace

std::vector<NamedInput> Inputs(int64_t count) {
  Rng rng(7, RngStream::TEST);
  const float inf = std::numeric_limits<float>::infinity();
  const float special[] = {0.0f,
                           -0.0f,
                           inf,
                           -inf,
                           std::nanf("123"),
                           -std::nanf("77"),
                           std::numeric_limits<float>::denorm_min(),
                           -std::numeric_limits<float>::denorm_min(),
                           std::numeric_limits<float>::min(),
                           std::numeric_limits<float>::max(),
                           -std::numeric_limits<float>::max(),
                           1.0f,
                           -1.0f,
                           0x1p-126f,
                           1e-20f,
                           3e38f};
  std::vector<NamedInput> inputs = {
      {"gaussian", {}}, {"relu", {}},          {"special", {}},      {"constant", {}},
      {"zero", {}},     {"huge and tiny", {}}, {"bit patterns", {}}, {"outliers", {}},
      {"grid", {}},     {"wide range", {}},    {"far outliers", {}}};
  for (int64_t i = 0; i < count; ++i) {
    const auto normal = static_cast<float>(rng.Normal());
    const uint32_t bits = rng.NextU32();
    float pattern;
    std::memcpy(&pattern, &bits, sizeof(pattern));
    const float values[] = {
        normal,
        normal > 0.3f ? normal - 0.3f : 0.0f,
        special[rng.Below(16)],
        2.5f,
        0.0f,
        i % 2 == 0 ? 1e30f : 1e-30f,
        pattern,
        rng.Below(50) == 0 ? normal * 1e4f : normal,
        static_cast<float>(rng.Below(64)) * 0.0625f - 1.0f,
        static_cast<float>(rng.Normal() * std::exp(12 * rng.Normal())),
        normal *
            (rng.Below(40) == 0 ? std::exp2(static_cast<float>(rng.Below(120)) * 0.1f) : 0.1f)};
    for (size_t k = 0; k < inputs.size(); ++k) inputs[k].values.push_back(values[k]);
  }
  return inputs;
}

std::vector<float> ReluMaps(const Shape& shape, uint64_t seed) {
  Rng rng(seed, RngStream::TEST);
  std::vector<float> noise(shape.elements());
  for (float& x : noise) x = static_cast<float>(rng.Normal());
  std::vector<float> maps(noise.size());
  const int64_t row = shape.w * shape.c;
  for (int64_t i = 0; i < shape.elements(); ++i) {
    float sum = noise[i];
    if (i >= shape.c) sum += noise[i - shape.c];
    if (i >= row) sum += noise[i - row];
    if (i >= row + shape.c) sum += noise[i - row - shape.c];
    maps[i] = sum > 0.5f ? 0.5f * sum - 0.25f : 0.0f;
  }
  return maps;
}

CodecOptions Uniform(float bound, bool mask) {
  CodecOptions options;
  options.bound = ErrorBound::Uniform(bound);
  options.mask = mask;
  return options;
}

CodecOptions UniformActivity(int64_t channels, float threshold, float bound, float inactive_bound) {
  CodecOptions options = Uniform(bound, false);
  options.activity.threshold.assign(channels, threshold);
  options.activity.inactive_bound.assign(channels, inactive_bound);
  for (int64_t c = 0; c < channels; ++c) options.activity.sign.push_back(c % 3 == 1 ? -1 : 1);
  return options;
}

std::vector<uint16_t> ToBfloat16(const std::vector<float>& values) {
  std::vector<uint16_t> result;
  for (float v : values) result.push_back(bfloat16(v).bits);
  return result;
}

Encoded Encode(const Codec& codec, const void* data, DType dtype, const Shape& shape,
               const CodecOptions& options) {
  Encoded result;
  result.coding = std::make_shared<ValueCoding>(options, dtype, shape.c);
  codec.Prepare({{data, shape}}, dtype, result.coding.get());
  result.stream.resize(codec.MaxEncodedSize(shape, dtype));
  const int64_t size =
      codec.Encode(data, dtype, shape, *result.coding, result.stream.data(), &result.statistics);
  ENCKE_CHECK(size <= static_cast<int64_t>(result.stream.size()));
  result.stream.resize(size);
  result.stream.shrink_to_fit();
  return result;
}

std::vector<uint8_t> Decode(const Codec& codec, const std::vector<uint8_t>& stream, DType dtype,
                            const Shape& shape, const ValueCoding& coding) {
  std::vector<uint8_t> data(shape.elements() * SizeOf(dtype), 0xcd);
  codec.Decode(stream.data(), stream.size(), dtype, shape, coding, data.data());
  return data;
}

std::string ContractViolation(const void* data, const void* decoded, DType dtype,
                              const Shape& shape, const CodecOptions& options) {
  for (int64_t i = 0; i < shape.elements(); ++i) {
    const float x = ValueAt(data, dtype, i), y = ValueAt(decoded, dtype, i);
    const bool same = BitsAt(data, dtype, i) == BitsAt(decoded, dtype, i);
    const int64_t channel = i % shape.c;
    const std::string violation = ElementViolation(x, y, same, channel, options);
    if (!violation.empty()) {
      return StrCat("element ", i, ": ", x, " -> ", y, ", bound ", options.BoundOf(x, channel),
                    ": ", violation);
    }
  }
  return "";
}

std::string RoundTripViolation(const Codec& codec, const void* data, DType dtype,
                               const Shape& shape, const CodecOptions& options) {
  const Encoded encoded = Encode(codec, data, dtype, shape, options);
  const std::vector<uint8_t> decoded = Decode(codec, encoded.stream, dtype, shape, *encoded.coding);
  return ContractViolation(data, decoded.data(), dtype, shape, options);
}

}  // namespace encke::testing
