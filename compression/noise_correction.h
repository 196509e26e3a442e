// How the noise in a weight gradient relates to the formula that predicts it, learnt from probes.
#pragma once

#include <cstdint>
#include <vector>

namespace encke {

// Mean products of two patterns' numbers: pixels that repeat one another, and all others
// (doc/error-propagation.md, "Patterns").
struct PatternProducts {
  double repeated = 0;  // of the repeated pixels' number with itself
  double others = 0;    // of the others' with itself
  double both = 0;      // of one with the other
};

// What one probe has measured of the noise in some input channels of a weight gradient.
struct NoiseSample {
  double quotient = 1;     // variance over the formula's
  double white = 1;        // the same, of what the patterns do not explain
  PatternProducts errors;  // of the mean error on each pattern's pixels, over bound^2 / 3
};

// The mean of the last samples, variances over the formula's. A probe sees some input
// channels of a weight gradient, and channels differ much; the mean goes over one round of probes,
// in which each channel is seen once, and it is one of variances and not of their logarithms,
// since the variance in the whole tensor is the mean over its channels. Until the first round is
// complete, the formula itself counts as one more sample, white and of quotient 1.
class NoiseCorrection {
 public:
  // `round`: probes that it takes to see all channels. A quotient counts as at most 4096; one that
  // is negative or not finite counts nothing, and parts that are not finite count as white.
  void Observe(const NoiseSample& sample, int64_t round);

  // What the formula's standard deviation is to be multiplied with, at least 1/8; 1 before the
  // first probe.
  double factor() const;
  // The same in an iteration whose `gradients` are known: products of the patterns' parts of the
  // weight gradient (mean over k,r,s), over the formula's variance with bound^2 / 3 = 1.
  double FactorFor(const PatternProducts& gradients) const;

  // For checkpoints: the samples, oldest first, at most 32 of them.
  const std::vector<NoiseSample>& samples() const { return samples_; }
  bool complete() const { return complete_; }
  void Restore(std::vector<NoiseSample> samples, bool complete);

 private:
  std::vector<NoiseSample> samples_;
  bool complete_ = false;  // a first round was
};

}  // namespace encke
