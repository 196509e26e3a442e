// How the noise in a weight gradient relates to the formula that predicts it, learnt from probes.
#pragma once

#include <cstdint>
#include <vector>

namespace encke {

// The mean of the last quotients, measured variance over the formula's. A probe sees some input
// channels of a weight gradient, and channels differ much; the mean goes over one round of probes,
// in which each channel is seen once, and it is one of variances and not of their logarithms,
// since the variance in the whole tensor is the mean over its channels. Until the first round is
// complete, the formula itself counts as one more quotient, of 1.
class NoiseCorrection {
 public:
  // `round`: probes that it takes to see all channels. A quotient counts as at most 4096; one that
  // is not finite, or of a formula that predicts no noise, counts nothing.
  void Observe(double measured_variance, double formula_variance, int64_t round);

  // What the formula's standard deviation is to be multiplied with, at least 1/8; 1 before the
  // first probe.
  double factor() const;

  // For checkpoints: the quotients, oldest first, at most 32 of them.
  const std::vector<double>& quotients() const { return quotients_; }
  bool complete() const { return complete_; }
  void Restore(std::vector<double> quotients, bool complete);

 private:
  std::vector<double> quotients_;
  bool complete_ = false;  // a first round was
};

}  // namespace encke
