// Probes: what part of a weight gradient's error is, measured on a few input channels. A channel's
// part of the gradient reads no other channel, so it is exact over the whole batch, coherent errors
// included; and successive probes of a node go through all of its channels.
#include <algorithm>
#include <cmath>

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
  const Tensor lossy_input = context.inputs[0];
  context.inputs[0] = ProbedCopy(probe);
  AddProbedGradient(probe, context, 0);
  CopyProbed(probe, lossy_input);  // in place of the exact channels
  AddProbedGradient(probe, context, 1);
  if (now_.last) FinishProbe(probe, saved_index);
}

void Executor::Run::FinishProbe(const PlannedProbe& probe, int saved_index) {
  const Tensor error = ProbedGradient(probe, 0);
  SgdOptions subtract;  // w -= 1 * dw
  subtract.learning_rate = 1.0f;
  subtract.momentum = 0.0f;
  backend_.SgdStep(subtract, error, ProbedGradient(probe, 1), Tensor());
  const double measured = backend_.SumOfSquares(error) / static_cast<double>(error.elements());
  const ActivationRecord& record = executor_.records_[record_of_saved_.at(saved_index)];
  const double formula = BoundController::FormulaSigma(output_statistics_.at(probe.node),
                                                       record.nonzero_fraction, record.error_bound);
  executor_.controller_->ObserveProbe(probe.node, measured, formula * formula, Round(probe));
}

// `value` is the node's input, or the exact one; of the current slice.
void Executor::Run::CopyProbed(const PlannedProbe& probe, const Tensor& value) const {
  const Shape shape = internal::ProbedInput(graph_, probe.node).WithBatch(now_.count);
  const Tensor input = value.Reshape(shape);
  const Tensor copy = ProbedCopy(probe);
  const int64_t first = FirstChannel(probe, probe_ / plan_.probe_turns);
  const int64_t groups = input.shape().c / probe.group_channels;
  for (int64_t g = 0; g < groups; ++g) {
    backend_.CopyChannels(input, g * probe.group_channels + first, copy, g * probe.channels,
                          probe.channels);
  }
}

// Of the current slice; the memory holds the whole batch.
Tensor Executor::Run::ProbedCopy(const PlannedProbe& probe) const {
  Shape shape = internal::ProbedInput(graph_, probe.node);
  shape.c = shape.c / probe.group_channels * probe.channels;
  const Tensor whole(executor_.probe_memory_, probe.offset, shape.WithBatch(batch_.size()),
                     plan_.options.compute);
  return whole.Slice(now_.first, now_.count);
}

// There is room for two of each probe of a turn behind the copies.
Tensor Executor::Run::ProbedGradient(const PlannedProbe& probe, int which) const {
  Shape shape = graph_.parameters[graph_.nodes[probe.node].parameters[0]].spec.shape;
  shape.c = probe.channels;
  const int64_t offset = probe.gradient_offset + which * probe.gradient_bytes;
  return Tensor(executor_.probe_memory_, offset, shape, DType::F32);
}

void Executor::Run::AddProbedGradient(const PlannedProbe& probe, BackwardContext context,
                                      int which) const {
  context.input_gradients.assign(context.input_gradients.size(), Tensor());
  context.parameter_gradients.assign(context.parameter_gradients.size(), Tensor());
  context.parameter_gradients[0] = ProbedGradient(probe, which);
  context.accumulate = now_.continues;
  graph_.nodes[probe.node].layer->Backward(context);
}

}  // namespace encke
