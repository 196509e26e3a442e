// Probes: what part of a weight gradient's error is, measured on a few input channels. A channel's
// part of the gradient reads no other channel, so it is exact over the whole batch, coherent errors
// included; and successive probes of a node go through all of its channels.
#include <algorithm>
#include <cmath>

#include "engine/graph/noise_patterns.h"
#include "engine/graph/plan_internal.h"
#include "engine/graph/run.h"

namespace encke {
namespace {

// Visits that it takes to see all channels.
int64_t Round(const PlannedProbe& probe) {
  return (probe.group_channels + probe.channels - 1) / probe.channels;
}

// The first channel (of each group) that is looked at in a node's visit number `visit`.
int64_t FirstChannel(const PlannedProbe& probe, int64_t visit) {
  return std::min(visit % Round(probe) * probe.channels, probe.group_channels - probe.channels);
}

// Of the convolution, whose input is x.
int64_t Groups(const Shape& x, const PlannedProbe& probe) { return x.c / probe.group_channels; }

}  // namespace

const PlannedProbe* Executor::Run::DueProbe(int node) const {
  if (probe_ < 0) return nullptr;
  for (const PlannedProbe& probe : plan_.probes) {
    if (probe.node == node && probe.turn == probe_ % plan_.probe_turns) return &probe;
  }
  return nullptr;
}

void Executor::Run::KeepForProbes(int saved_index, const Tensor& tensor) {
  for (int node : plan_.saved[saved_index].gradient_consumers) {
    const PlannedProbe* probe = DueProbe(node);
    if (probe == nullptr) continue;
    CopyProbed(*probe, tensor);
  }
}

void Executor::Run::ProbeNode(const PlanStep& step, int saved_index) {
  const PlannedProbe& probe = *DueProbe(step.node);
  BackwardContext context = MakeBackwardContext(step);
  context.accumulate = now_.continues;
  const Shape x = internal::ProbedInput(graph_, step.node).WithBatch(now_.count);
  const Tensor copy = ProbeImage(probe, Groups(x, probe) * probe.channels);
  const Tensor lossy_input = context.inputs[0].Reshape(x);
  AddGradientOf(copy, step.node, context, ProbedGradient(probe, 0));
  CopyProbed(probe, lossy_input);  // in place of the exact channels
  AddGradientOf(copy, step.node, context, ProbedGradient(probe, 1));
  const bool audited = audits_.count(step.node) > 0;  // which has seen the patterns
  if (!audited) {
    context.inputs[0] = lossy_input;
    AddPatterns(probe, context, RoomForPatterns(probe));
  }
  if (now_.last) FinishProbe(probe, saved_index);
}

// The controller is told when backward has been issued: the host need not wait in the midst of it.
void Executor::Run::FinishProbe(const PlannedProbe& probe, int saved_index) {
  const Tensor error = ProbedGradient(probe, 0);
  SgdOptions subtract;  // w -= 1 * dw
  subtract.learning_rate = 1.0f;
  subtract.momentum = 0.0f;
  backend_.SgdStep(subtract, error, ProbedGradient(probe, 1), Tensor());
  errors_.Begin(probe.node, {error});
  later_.push_back([this, &probe, saved_index] { ObserveProbe(probe, saved_index); });
}

void Executor::Run::ObserveProbe(const PlannedProbe& probe, int saved_index) {
  const ActivationRecord& record = executor_.records_[record_of_saved_.at(saved_index)];
  const GradientStatistics statistics = OutputStatistics(probe.node);
  const double bound = noise_bounds_.at(saved_index);
  const double formula = BoundController::FormulaSigma(statistics, record.nonzero_fraction, bound);
  BoundController& controller = *executor_.controller_;
  if (formula > 0) {
    const int64_t groups = Groups(internal::ProbedInput(graph_, probe.node), probe);
    const NoiseSample sample = Separate(errors_.Of(probe.node).at(0), probe.channels, groups,
                                        PatternsOf(probe.node), bound, formula * formula);
    controller.ObserveProbe(probe.node, sample, Round(probe));
  }
  if (refresh_) return;  // which observes it
  controller.ObserveOutputGradient(probe.node, statistics.output_gradient_squares * BatchesNow());
}

// That an optimizer step goes over.
double Executor::Run::BatchesNow() const {
  return std::max(1.0, options_.loss_scale_count / static_cast<double>(batch_.size()));
}

// Adds what the patterns in the slice that the node reads give.
void Executor::Run::AddPatterns(const PlannedProbe& probe, BackwardContext context,
                                const PatternRoom& room) {
  const Shape shape = internal::ProbedInput(graph_, probe.node).WithBatch(now_.count);
  const Tensor value = context.inputs[0].Reshape(shape);
  if (!now_.continues) backend_.FindRepeatedPixel(value, probe.channels, room.repeated);
  context.accumulate = now_.continues;
  for (int64_t p = 0; p < kPatterns; ++p) {
    backend_.MarkPixels(value, probe.channels, room.repeated, p == 0, room.image);
    AddGradientOf(room.image, probe.node, context, room.gradients[p]);
  }
  if (now_.last) patterns_.Begin(probe.node, {room.gradients[0], room.gradients[1]});
}

// k,r,s rows of kPatterns.
std::vector<float> Executor::Run::PatternsOf(int node) {
  const std::vector<std::vector<float>>& read = patterns_.Of(node);
  std::vector<float> rows;
  for (size_t i = 0; i < read[0].size(); ++i) {
    for (const std::vector<float>& pattern : read) rows.push_back(pattern[i]);
  }
  return rows;
}

// `value` is the node's input, or the exact one; of the current slice.
void Executor::Run::CopyProbed(const PlannedProbe& probe, const Tensor& value) const {
  const Shape shape = internal::ProbedInput(graph_, probe.node).WithBatch(now_.count);
  const Tensor input = value.Reshape(shape);
  const int64_t groups = Groups(shape, probe);
  const Tensor copy = ProbeImage(probe, groups * probe.channels);
  const int64_t first = FirstChannel(probe, probe_ / plan_.probe_turns);
  for (int64_t g = 0; g < groups; ++g) {
    backend_.CopyChannels(input, g * probe.group_channels + first, copy, g * probe.channels,
                          probe.channels);
  }
}

// An image of so many channels, of the current slice, in the slice's own part of the probe's
// memory: what is copied, and then the patterns.
Tensor Executor::Run::ProbeImage(const PlannedProbe& probe, int64_t channels) const {
  Shape shape = internal::ProbedInput(graph_, probe.node).WithBatch(now_.count);
  shape.c = Groups(shape, probe) * probe.channels;
  const int64_t before = now_.first * shape.sample() * SizeOf(plan_.options.compute);
  shape.c = channels;
  return Tensor(executor_.probe_memory_, probe.offset + before, shape, plan_.options.compute);
}

// There is room for two of each probe of a turn behind the copies.
Tensor Executor::Run::ProbedGradient(const PlannedProbe& probe, int which) const {
  Shape shape = graph_.parameters[graph_.nodes[probe.node].parameters[0]].spec.shape;
  shape.c = probe.channels;
  const int64_t offset = probe.gradient_offset + which * probe.gradient_bytes;
  return Tensor(executor_.probe_memory_, offset, shape, DType::F32);
}

// The images take the copies' place.
Executor::Run::PatternRoom Executor::Run::RoomForPatterns(const PlannedProbe& probe) const {
  Shape shape = graph_.parameters[graph_.nodes[probe.node].parameters[0]].spec.shape;
  shape.c = 1;
  const auto at = [&](int64_t offset, const Shape& s, DType dtype) {
    return Tensor(executor_.probe_memory_, offset, s, dtype);
  };
  return {at(probe.repeated_offset, Shape::Vector(kRepeatedBytes), DType::U8),
          {at(probe.pattern_offset, shape, DType::F32),
           at(probe.pattern_offset + probe.pattern_bytes, shape, DType::F32)},
          ProbeImage(probe, Groups(internal::ProbedInput(graph_, probe.node), probe))};
}

// The weight gradient, were `input` what the node reads; added to `gradient` if the context says
// so.
void Executor::Run::AddGradientOf(const Tensor& input, int node, BackwardContext context,
                                  const Tensor& gradient) const {
  context.inputs[0] = input;
  context.input_gradients.assign(context.input_gradients.size(), Tensor());
  context.parameter_gradients.assign(context.parameter_gradients.size(), Tensor());
  context.parameter_gradients[0] = gradient;
  graph_.nodes[node].layer->Backward(context);
}

}  // namespace encke
