// Chooses how wrong each saved value may be, from how the error would reach the weight gradients.
// The formulas are derived and checked in doc/error-propagation.md.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "compression/codec.h"
#include "compression/noise_correction.h"

namespace encke {

enum class ErrorRule {
  VARIANCE,  // sigma of dW <= tolerance * mean |momentum| (the default)
  COMET,     // Jin et al., VLDB 2022: sigma = a * mean|dY| * sqrt(N * R) * eb, a = 0.32
  ACGC,      // Evans & Aamodt, NeurIPS 2021
  FIXED,     // one bound for all, the user's
};

struct ControllerOptions {
  ErrorRule rule = ErrorRule::VARIANCE;
  double tolerance =
      0.05;  // tau: allowed sigma over mean |momentum|; for ACGC the relative loss increase
  double fixed_bound = 0.01;  // FIXED
  double channel_std_bound =
      0.25;  // BoundRule::CHANNEL_STD: fraction of the channel's standard deviation
  double inactive_std_bound = 0.5;  // the same, of elements that a ReLU behind it stops
  double rms_bound = 0.02;          // BoundRule::VALUE_RMS: fraction of the root mean square
  int64_t warmup = 10;              // iterations at half the tolerance while momentum builds up
  int64_t interval =
      50;  // iterations between refreshes; the first ones come at 1, 2, 4, 8, ... up to this
  double initial_bound = 0.1;  // fraction of the value's rms before anything is known
};

// What one consumer (a conv or fc layer) knows at a refresh.
struct GradientStatistics {
  double output_gradient_squares = 0;    // sum over n,h,w,k of dY^2
  double output_gradient_magnitude = 0;  // mean |dY|, for COMET
  double filter_gradient_squares = 0;    // sum dW^2, for ACGC
  double mean_momentum = 0;              // mean |momentum| of the weight tensor
  int64_t output_channels = 1;           // K
  int64_t batch = 1;                     // N
  int64_t input_elements = 1;            // N*C*H*W of the saved value
  int64_t kernel = 1;                    // R*S
  int64_t stride = 1;                    // T
  double share_inside = 1;               // positions that meet a pixel, not padding: g
};

struct AuditResult {
  int64_t iteration = 0;
  double predicted_sigma = 0;
  double measured_sigma = 0;
  double bias = 0;           // mean error along the gradient, as a fraction of the gradient's norm
  double max_abs_error = 0;  // of the saved value
};

// Deterministic: same calls, same bounds. Values and consumers are named by the graph's ids.
class BoundController {
 public:
  explicit BoundController(const ControllerOptions& options);

  // REQUIRES: before the first iteration. One value may have several consumers; the tightest wins.
  // Adding one again changes nothing.
  void AddConsumer(int value, int consumer);

  // Whether statistics are to be gathered in this iteration (1, 2, 3, ...): densely at first,
  // sparsely later.
  bool Refreshes(int64_t iteration) const;
  // Whether the value has been observed.
  bool Knows(int value) const;
  // Number (0, 1, 2, ...) of the probe due in this iteration, -1: none. One an iteration up to
  // 4 * interval, then one in every fourth.
  int64_t ProbeOf(int64_t iteration) const;
  // Nonzero fraction and rms of a value, seen while encoding.
  void ObserveValue(int value, double nonzero_fraction, double rms);
  void ObserveGradient(int consumer, const GradientStatistics& statistics);
  // sum over n,h,w,k of dY^2 in an iteration without a refresh. Bounds follow its mean over recent
  // iterations: one batch may have a hundredth of the others' gradient, and a bound made for it
  // would last until the next refresh.
  void ObserveOutputGradient(int consumer, double squares);
  // Measured against predicted: a measured sigma above 1.25 x the predicted one tightens that
  // consumer's tolerance by as much; later audits that find less ease it again, step by step.
  void ObserveAudit(int consumer, const AuditResult& audit);
  // What a probe measured of the noise in elements of a consumer's weight gradient: its variance,
  // and the one that FormulaSigma() gives. The mean of such quotients over a `round` of probes, the
  // number it takes to see all of the gradient, corrects what is predicted.
  void ObserveProbe(int consumer, const NoiseSample& sample, int64_t round);
  // The same where the noise was not taken apart. A formula that predicts none teaches nothing.
  void ObserveProbe(int consumer, double measured_variance, double formula_variance, int64_t round);
  // Loss or gradients were not finite: halves every tolerance (down to 1/64); audits ease it again.
  void ObserveNonFinite();

  // The uniform bound for a WEIGHT_GRADIENT value in this iteration.
  double BoundFor(int value, int64_t iteration) const;
  // Standard deviation of the error that `bound` on `value` adds to the consumer's weight gradient:
  // the formula's, with the mean output gradient, times the correction. 0 before the first refresh.
  double PredictedSigma(int value, int consumer, double bound) const;
  // The VARIANCE formula: sqrt(bound^2 / 3 * nonzero_fraction * share_inside * mean_k ||dY_k||^2).
  static double FormulaSigma(const GradientStatistics& statistics, double nonzero_fraction,
                             double bound);
  // Factor on the formula's sigma that probes have taught; 1 before the first.
  double CorrectionOf(int consumer) const;
  // The same in an iteration of which the patterns' gradients are known (NoiseCorrection).
  double CorrectionFor(int consumer, const PatternProducts& gradients) const;
  // Tolerance in force for a value: warm-up and tightening included.
  double ToleranceFor(int value, int64_t iteration) const;

  const ControllerOptions& options() const { return options_; }

  // State for checkpoints, as JSON text; doubles survive bit for bit.
  std::string Save() const;
  void Restore(const std::string& state);  // Error(DATA) when it is not a state of this network

 private:
  struct ValueState {
    std::set<int> consumers;
    double nonzero_fraction = 0;
    double rms = 0;
  };
  struct ConsumerState {
    GradientStatistics statistics;
    double output_squares = 0;  // sum of dY^2, mean over recent iterations
    bool known = false;
    double tightening = 1.0;  // factor on the tolerance
    NoiseCorrection correction;
  };

  static GradientStatistics Smoothed(const ConsumerState& consumer);
  double BoundFromConsumer(const ValueState& value, const ConsumerState& consumer,
                           double tolerance) const;
  double BoundUnknown(const ValueState& value) const;
  double Warmup(int64_t iteration) const;  // factor on the tolerance

  ControllerOptions options_;
  std::map<int, ValueState> values_;
  std::map<int, ConsumerState> consumers_;
};

}  // namespace encke
