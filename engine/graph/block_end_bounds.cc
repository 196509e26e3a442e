#include "engine/graph/block_end_bounds.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

#include "engine/core/error.h"

namespace encke {
namespace {

// Past this an input of its own takes less room (doc/decisions.md).
constexpr double kMostExtraBits = 1.0;
// Of the largest magnitude of gamma: below, rounding of fp32 would show in the quotient.
constexpr double kLeastGamma = 1e-3;
constexpr double kActive = 0.5;    // share of a sum's elements, about, that the ReLU passes
constexpr float kAnything = 1e6f;  // a bound that says nothing

double ExtraBits(double asked, double limit) { return std::max(0.0, std::log2(asked / limit)); }

}  // namespace

Derivation ChooseDerivation(std::vector<float> scales, double fraction,
                            const BlockEndAsked& asked) {
  Derivation derivation;
  derivation.gamma = std::move(scales);
  const std::vector<float>& gamma = derivation.gamma;
  double most = 0;
  for (float g : gamma) most = std::max(most, std::abs(static_cast<double>(g)));
  int64_t small = 0;
  for (float g : gamma) small += !(std::abs(g) > kLeastGamma * most);
  if (small > 0 || !std::isfinite(most)) {
    derivation.reason = StrCat(small, " of ", gamma.size(), " scales are almost 0");
    return derivation;
  }
  for (float g : gamma) {
    const double limit = fraction / std::sqrt(2.0) * std::abs(static_cast<double>(g));
    derivation.limits.push_back(static_cast<float>(limit));
    derivation.extra_bits +=
        kActive * (ExtraBits(asked.sum, limit) + ExtraBits(asked.shortcut, limit));
  }
  derivation.extra_bits /= static_cast<double>(gamma.size());
  derivation.derived = derivation.extra_bits <= kMostExtraBits;
  char text[64];
  std::snprintf(text, sizeof(text), "at %.1f bits an element", derivation.extra_bits);
  derivation.reason = text;
  if (!derivation.derived) derivation.limits.clear();
  return derivation;
}

void Tighten(const std::vector<float>& limits, std::vector<float>* bounds) {
  for (size_t c = 0; c < limits.size(); ++c) (*bounds)[c] = std::min((*bounds)[c], limits[c]);
}

CodecOptions SumBounds(std::vector<float> bounds, const Derivation& derivation,
                       double inactive_fraction) {
  const std::vector<float>& gamma = derivation.gamma;
  CodecOptions options;
  options.bound = ErrorBound::PerChannel(std::move(bounds));
  for (float g : gamma) {
    options.activity.inactive_bound.push_back(
        derivation.derived
            ? static_cast<float>(inactive_fraction * std::abs(static_cast<double>(g)))
            : kAnything);
  }
  options.activity.threshold.assign(gamma.size(), 0.0f);
  options.activity.sign.assign(gamma.size(), 1);
  return options;
}

}  // namespace encke
