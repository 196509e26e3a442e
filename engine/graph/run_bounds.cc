// How wrong each saved value may be.
#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/graph/norm_bounds.h"
#include "engine/graph/run.h"

namespace encke {
namespace {

double Mean(const std::vector<float>& values) {
  double sum = 0;
  for (float value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

// The one bound that lets as much noise through as those of the channels.
double NoiseBound(const std::vector<float>& channel_bounds) {
  double squares = 0;
  for (float bound : channel_bounds) squares += static_cast<double>(bound) * bound;
  return std::sqrt(squares / static_cast<double>(channel_bounds.size()));
}

// Of relu(gamma * xh + beta), were xh normally distributed and the signs even.
double ExpectedOutputRms(const std::vector<NormChannel>& channels) {
  double squares = 0;
  for (const NormChannel& c : channels) {
    const double gamma = static_cast<double>(c.scale) / c.inv_std;
    squares += (gamma * gamma + static_cast<double>(c.shift) * c.shift) / 2;
  }
  return std::sqrt(squares / static_cast<double>(channels.size()));
}

}  // namespace

// Of the first slice, and the same for all.
const CodecOptions& Executor::Run::BoundOf(const PlanStep& step, ActivationRecord* record) {
  const auto found = bounds_.find(step.saved);
  if (found != bounds_.end()) return found->second;
  const SavedValue& saved = plan_.saved[step.saved];
  CodecOptions& bound = bounds_[step.saved];
  bound = ChooseBound(saved, step, record);
  bound.seed = executor_.options_.seed + RandomStream(saved.value);
  return bound;
}

// The tightest of what the value's readers ask for.
CodecOptions Executor::Run::ChooseBound(const SavedValue& saved, const PlanStep& step,
                                        ActivationRecord* record) {
  CodecOptions options;
  options.mask = saved.mask;
  record->error_bound = 0;
  noise_bounds_[step.saved] = 0;
  if (options_.exact || saved.exact) return options;
  Introduce(saved, step);
  double bound = GradientBound(saved, record);
  const ControllerOptions& chosen = executor_.controller_->options();
  if (saved.rms) {
    const Tensor tensor = ValueTensor(step.buffer, saved.value);
    const double rms =
        std::sqrt(backend_.SumOfSquares(tensor) / static_cast<double>(tensor.elements()));
    bound = std::min(bound, chosen.rms_bound * rms);
  }
  if (saved.norm_consumer < 0) {
    options = UniformBound(saved, bound);
    options.mask = saved.mask;
    const bool uniform = options.bound.channel.empty();
    record->error_bound = uniform ? bound : Mean(options.bound.channel);
    const double noise = uniform ? bound : NoiseBound(options.bound.channel);
    noise_bounds_[step.saved] =
        saved.keep == Keep::REBUILD ? SourcesNoiseBound(saved, bound) : noise;
    if (!saved.serves.empty()) output_noise_bounds_[step.saved] = noise;
    return options;
  }
  const std::vector<NormChannel> channels = ChannelsOf(saved.norm_consumer);
  if (saved.sides) {
    options = SidedBounds(channels, {chosen.channel_std_bound, chosen.inactive_std_bound, bound,
                                     DerivationLimits(saved)});
  } else {
    options.bound =
        ErrorBound::PerChannel(ChannelBounds(channels, chosen.channel_std_bound, bound));
  }
  if (options.bound.channel.empty()) return options;
  record->error_bound = Mean(options.bound.channel);
  noise_bounds_[step.saved] = NoiseBound(options.bound.channel);
  if (!saved.serves.empty()) {
    std::vector<float> output = options.bound.channel;
    for (size_t c = 0; c < output.size(); ++c) output[c] *= std::abs(channels[c].scale);
    output_noise_bounds_[step.saved] = NoiseBound(output);
  }
  return options;
}

// The same for all channels, but where other values are derived from this one.
CodecOptions Executor::Run::UniformBound(const SavedValue& saved, double bound) {
  CodecOptions options;
  const bool is_sum = saved.block_end >= 0;
  const std::vector<float> limits = DerivationLimits(saved);
  if (saved.keep == Keep::REBUILD || (limits.empty() && !is_sum)) {
    options.bound = ErrorBound::Uniform(static_cast<float>(bound));
    return options;
  }
  std::vector<float> bounds(graph_.values[saved.value].shape.c, static_cast<float>(bound));
  Tighten(limits, &bounds);
  if (!is_sum) {
    options.bound = ErrorBound::PerChannel(std::move(bounds));
    return options;
  }
  return SumBounds(std::move(bounds), DerivationOf(saved.block_end),
                   executor_.controller_->options().inactive_std_bound);
}

// What a rebuilt value's error is as large as: its source may be kept more tightly than the value
// asks.
double Executor::Run::SourcesNoiseBound(const SavedValue& saved, double asked) const {
  double bound = 0;
  for (const auto& [source, output] : output_noise_bounds_) {
    const std::vector<int>& serves = plan_.saved[source].serves;
    const bool serving = std::find(serves.begin(), serves.end(), saved.value) != serves.end();
    if (serving) bound = std::max(bound, output);
  }
  return bound > 0 ? bound : asked;
}

// Lets the controller know the size of values that it has not seen yet.
void Executor::Run::Introduce(const SavedValue& saved, const PlanStep& step) {
  BoundController& controller = *executor_.controller_;
  for (int served : saved.serves) {
    if (controller.Knows(served)) continue;
    double rms = 0;
    if (saved.block_end >= 0) {  // of what the ReLU passes, were the sum symmetrical
      const Tensor sum = ValueTensor(step.buffer, saved.value);
      rms = std::sqrt(backend_.SumOfSquares(sum) / 2 / static_cast<double>(sum.elements()));
    } else if (saved.sides) {
      rms = ExpectedOutputRms(ChannelsOf(saved.norm_consumer));
    }
    if (rms > 0) controller.ObserveValue(served, 0.5, rms);
  }
  if (saved.gradient_consumers.empty() || controller.Knows(saved.value)) return;
  const Tensor tensor = ValueTensor(step.buffer, saved.value);
  const double elements = static_cast<double>(tensor.elements());
  controller.ObserveValue(saved.value, 1, std::sqrt(backend_.SumOfSquares(tensor) / elements));
}

// What weight gradients ask of the value, or of what is made again from it; infinite: nothing.
double Executor::Run::GradientBound(const SavedValue& saved, ActivationRecord* record) const {
  const BoundController& controller = *executor_.controller_;
  double bound = std::numeric_limits<double>::infinity();
  if (!saved.gradient_consumers.empty()) {
    bound = controller.BoundFor(saved.value, update_);
    record->tolerance = controller.ToleranceFor(saved.value, update_);
  }
  for (int served : saved.serves) {
    bound = std::min(bound, controller.BoundFor(served, update_));
  }
  return bound;
}

// Begins to, as soon as a batch norm's statistics are there, if bounds will be made of them.
void Executor::Run::ReadNorm(int node, const ForwardContext& context) {
  const bool wanted = std::any_of(
      plan_.saved.begin(), plan_.saved.end(),
      [&](const SavedValue& saved) { return saved.norm_consumer == node && saved.lossy(); });
  if (phase_ != Phase::TRAIN || options_.exact || !wanted) return;
  norms_.Begin(node,
               {context.state[0], context.state[1], context.parameters[0], context.parameters[1]});
}

std::vector<NormChannel> Executor::Run::ChannelsOf(int norm) {
  const std::vector<std::vector<float>>& read = norms_.Of(norm);
  const std::vector<float>&mean = read[0], &inv_std = read[1], &gamma = read[2], &beta = read[3];
  std::vector<NormChannel> channels;
  for (size_t c = 0; c < mean.size(); ++c) {
    // As Backend::BatchNormApply rounds it.
    const auto scale = static_cast<float>(gamma[c] * static_cast<double>(inv_std[c]));
    channels.push_back({mean[c], inv_std[c], scale, beta[c]});
  }
  return channels;
}

}  // namespace encke
