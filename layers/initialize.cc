#include "layers/initialize.h"

#include <algorithm>
#include <cmath>

#include "engine/core/rng.h"

namespace encke {
namespace {

// FNV-1a, so that a parameter's values do not depend on the others of the network.
uint64_t Hash(const std::string& name) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : name) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  }
  return hash;
}

void FillNormal(double deviation, Rng rng, float* values, int64_t n) {
  for (int64_t i = 0; i < n; ++i) values[i] = static_cast<float>(deviation * rng.Normal());
}

void FillUniform(double bound, Rng rng, float* values, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    values[i] = static_cast<float>(bound * (2.0 * rng.Uniform() - 1.0));
  }
}

}  // namespace

void InitializeParameter(const ParameterSpec& spec, const std::string& name, uint64_t seed,
                         float* values) {
  const Rng rng(seed, RngStream::INIT, Hash(name));
  const int64_t n = spec.shape.elements();
  const double value = spec.initializer.value;
  const double fan_in = static_cast<double>(spec.fan_in);
  const double fan_out = static_cast<double>(spec.fan_out);
  switch (spec.initializer.kind) {
    case Initializer::Kind::CONSTANT:
      std::fill_n(values, n, spec.initializer.value);
      return;
    case Initializer::Kind::GAUSSIAN:
      return FillNormal(value, rng, values, n);
    case Initializer::Kind::XAVIER_UNIFORM:
      return FillUniform(std::sqrt(6.0 / (fan_in + fan_out)), rng, values, n);
    case Initializer::Kind::KAIMING_NORMAL_FAN_OUT:
      return FillNormal(std::sqrt(2.0 / fan_out), rng, values, n);
    case Initializer::Kind::KAIMING_NORMAL_FAN_IN:
      return FillNormal(std::sqrt(2.0 / fan_in), rng, values, n);
    case Initializer::Kind::KAIMING_UNIFORM_FAN_IN:
      return FillUniform(std::sqrt(6.0 / ((1.0 + value * value) * fan_in)), rng, values, n);
  }
}

}  // namespace encke
