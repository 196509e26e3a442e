#include "engine/graph/noise_patterns.h"

#include <algorithm>
#include <cmath>

namespace encke {
namespace {

constexpr double kLeastDeterminant = 1e-4;  // of the product of the diagonal; else one pattern only

// Sums over k,r,s.
struct Sums {
  double repeated = 0, others = 0, both = 0;  // of products of the patterns
  double with_repeated = 0, with_others = 0;  // of the error with each
};

struct MeanErrors {
  double repeated = 0, others = 0;
};

// What depends on the mean errors in the sum of squares of what they leave.
double Misfit(const Sums& s, const MeanErrors& e) {
  return e.repeated * (e.repeated * s.repeated - 2 * s.with_repeated) +
         e.others * (e.others * s.others - 2 * s.with_others) + 2 * e.repeated * e.others * s.both;
}

double Quotient(double a, double b, double bound) {
  return b > 0 ? std::clamp(a / b, -bound, bound) : 0.0;
}

// Least squares where one of the two is as large as the bound, and the other fits to that.
MeanErrors FitAtBound(const Sums& s, double bound) {
  MeanErrors best;
  for (double e : {-bound, bound}) {
    const MeanErrors repeated = {e, Quotient(s.with_others - e * s.both, s.others, bound)};
    const MeanErrors others = {Quotient(s.with_repeated - e * s.both, s.repeated, bound), e};
    for (const MeanErrors& m : {repeated, others}) {
      if (Misfit(s, m) < Misfit(s, best)) best = m;
    }
  }
  return best;
}

// Least squares; a mean error is no larger than the bound.
MeanErrors Fit(const Sums& s, double bound) {
  const double determinant = s.repeated * s.others - s.both * s.both;
  if (determinant > kLeastDeterminant * s.repeated * s.others) {
    const MeanErrors e = {(s.with_repeated * s.others - s.with_others * s.both) / determinant,
                          (s.with_others * s.repeated - s.with_repeated * s.both) / determinant};
    const bool fits = std::abs(e.repeated) <= bound && std::abs(e.others) <= bound;
    return fits ? e : FitAtBound(s, bound);
  }
  if (s.repeated > s.others) return {Quotient(s.with_repeated, s.repeated, bound), 0};
  return {0, Quotient(s.with_others, s.others, bound)};
}

// Sums over channels.
struct Part {
  double squares = 0, rest = 0;     // of the error, and of what the patterns leave of it
  PatternProducts errors, weights;  // the former times the latter; the latter
};

// Of one channel: `error` has its rows `stride` floats apart.
void AddPart(const float* error, int64_t stride, const float* patterns, int64_t rows, double bound,
             Part* part) {
  Sums s;
  for (int64_t i = 0; i < rows; ++i) {
    const double e = error[i * stride];
    const double repeated = patterns[i * kPatterns], others = patterns[i * kPatterns + 1];
    part->squares += e * e;
    s.repeated += repeated * repeated;
    s.others += others * others;
    s.both += repeated * others;
    s.with_repeated += e * repeated;
    s.with_others += e * others;
  }
  const MeanErrors mean = Fit(s, bound);
  for (int64_t i = 0; i < rows; ++i) {
    const double left = error[i * stride] - mean.repeated * patterns[i * kPatterns] -
                        mean.others * patterns[i * kPatterns + 1];
    part->rest += left * left;
  }
  const double both = std::sqrt(s.repeated * s.others);
  part->errors.repeated += mean.repeated * mean.repeated * s.repeated;
  part->errors.others += mean.others * mean.others * s.others;
  part->errors.both += mean.repeated * mean.others * both;
  part->weights.repeated += s.repeated;
  part->weights.others += s.others;
  part->weights.both += both;
}

double WeightedMean(double sum, double weights) { return weights > 0 ? sum / weights : 0.0; }

}  // namespace

PatternProducts ProductsOf(const std::vector<float>& pattern_gradients) {
  PatternProducts sums;
  for (size_t i = 0; i < pattern_gradients.size(); i += kPatterns) {
    const double repeated = pattern_gradients[i], others = pattern_gradients[i + 1];
    sums.repeated += repeated * repeated;
    sums.others += others * others;
    sums.both += repeated * others;
  }
  const double count = static_cast<double>(pattern_gradients.size()) / kPatterns;
  return {sums.repeated / count, sums.others / count, sums.both / count};
}

NoiseSample Separate(const std::vector<float>& error, int64_t channels, int64_t groups,
                     const std::vector<float>& pattern_gradients, double bound,
                     double formula_variance) {
  const int64_t rows = static_cast<int64_t>(pattern_gradients.size()) / kPatterns / groups;
  Part whole;
  for (int64_t g = 0; g < groups; ++g) {
    const float* patterns = pattern_gradients.data() + g * rows * kPatterns;
    for (int64_t c = 0; c < channels; ++c) {
      AddPart(error.data() + g * rows * channels + c, channels, patterns, rows, bound, &whole);
    }
  }
  const double variance = formula_variance * static_cast<double>(rows * groups * channels);
  const double unit = bound * bound / 3;
  const PatternProducts &errors = whole.errors, &weights = whole.weights;
  return {whole.squares / variance,
          whole.rest / variance,
          {WeightedMean(errors.repeated, weights.repeated) / unit,
           WeightedMean(errors.others, weights.others) / unit,
           WeightedMean(errors.both, weights.both) / unit}};
}

}  // namespace encke
