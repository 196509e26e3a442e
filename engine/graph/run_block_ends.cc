// Inputs of batch norms at the ends of residual blocks: derived from what the block makes, or kept.
#include <algorithm>
#include <cmath>

#include "engine/graph/plan_internal.h"
#include "engine/graph/run.h"

namespace encke {

// Decided once an iteration, by parameters and by the bounds in force: the same for all slices.
const Derivation& Executor::Run::DerivationOf(int block_end) {
  const auto found = derivations_.find(block_end);
  if (found != derivations_.end()) return found->second;
  Derivation& derivation = derivations_[block_end];
  if (options_.exact) return derivation;
  const BlockEnd& end = plan_.block_ends[block_end];
  const BoundController& controller = *executor_.controller_;
  const auto asked = [&](int value) {
    return controller.Knows(value) ? controller.BoundFor(value, update_) : 0.0;
  };
  const Node& norm = graph_.nodes[end.norm];
  derivation = ChooseDerivation(scales_.Of(block_end).at(0), controller.options().channel_std_bound,
                                {asked(end.output), asked(end.shortcut)});
  executor_.NoteDerivation(norm.name, derivation);
  return derivation;
}

// The parameters are the same all the pass long.
void Executor::Run::ReadScales() {
  for (size_t i = 0; i < plan_.block_ends.size(); ++i) {
    const Node& norm = graph_.nodes[plan_.block_ends[i].norm];
    scales_.Begin(static_cast<int>(i), {executor_.parameters_[norm.parameters[0]]});
  }
}

// By channel: how wrong the value may be for what is derived from it; empty: nothing is.
std::vector<float> Executor::Run::DerivationLimits(const SavedValue& saved) {
  std::vector<int> block_ends = saved.shortcut_of;
  if (saved.keep == Keep::CODEC && saved.block_end >= 0) block_ends.push_back(saved.block_end);
  std::vector<float> limits;
  for (int block_end : block_ends) {
    const std::vector<float>& of_this = DerivationOf(block_end).limits;
    if (limits.empty()) {
      limits = of_this;
    } else {
      Tighten(of_this, &limits);
    }
  }
  return limits;
}

// Nothing is kept.
void Executor::Run::RecordDerived(const PlanStep& step, const Tensor& tensor) {
  ActivationRecord& record = RecordOf(step.saved);
  record.codec = "derived";
  record.raw_bytes += tensor.bytes();
  if (!now_.continues) derived_.push_back(step.saved);
}

// At the end of forward, when nobody has to wait for what they are made of. A bound is what the two
// limits add up to.
void Executor::Run::RecordDerivedBounds() {
  const double fraction = std::sqrt(2.0) * executor_.controller_->options().channel_std_bound;
  for (int s : derived_) {
    const std::vector<NormChannel> channels = ChannelsOf(plan_.saved[s].norm_consumer);
    double sum = 0;
    for (const NormChannel& channel : channels) sum += 1.0 / channel.inv_std;
    RecordOf(s).error_bound = fraction * sum / static_cast<double>(channels.size());
  }
  derived_.clear();
}

void Executor::Run::Derive(const PlanStep& step) {
  const SavedValue& saved = plan_.saved[step.saved];
  if (!DerivationOf(saved.block_end).derived) return Fetch(step);
  const Node& node = graph_.nodes[step.node];
  const Shape channels = Shape::Vector(graph_.values[saved.value].shape.c);
  const NormChannels norm = {TensorOf(step.states.at(0), channels, DType::F32),
                             TensorOf(step.states.at(1), channels, DType::F32),
                             executor_.parameters_[node.parameters[0]],
                             executor_.parameters_[node.parameters[1]], false};
  backend_.BatchNormInvert(norm, ValueTensor(step.inputs[0], saved.value),
                           ValueTensor(step.inputs[1], saved.value),
                           ValueTensor(step.buffer, saved.value));
}

// Whether the step serves a derivation alone that is not made. What it would have given back to
// the pool goes all the same.
bool Executor::Run::Skips(const PlanStep& step) {
  if (step.only_for < 0 || DerivationOf(step.only_for).derived) return false;
  if (internal::Releases(step)) stored_.Forget(step.saved, now_.first, now_.count);
  return true;
}

}  // namespace encke
