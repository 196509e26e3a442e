#include "engine/graph/run.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "engine/core/error.h"

namespace encke {
namespace {

double Microseconds(std::chrono::steady_clock::time_point since) {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - since)
      .count();
}

}  // namespace

Executor::Run::Run(Executor* executor, const Plan& plan, const Batch& batch, Phase phase,
                   int64_t iteration, const TrainOptions& options)
    : executor_(*executor),
      backend_(executor->backend_),
      graph_(executor->graph_),
      plan_(plan),
      batch_(batch),
      phase_(phase),
      iteration_(iteration),
      options_(options),
      ledger_(&plan, &executor->backend_.allocator().ledger()) {
  if (graph_.values[0].shape.n != batch.size()) graph_.InferShapes(batch.size());
  refresh_ =
      phase == Phase::TRAIN && plan.options.compress && executor_.controller_->Refreshes(iteration);
  if (options.audit == Audit::ONE) audited_node_ = NextAudited();
}

Executor::Run::~Run() {
  for (int saved : stored_) executor_.store_->Release(saved);
}

StepResult Executor::Run::Execute() {
  for (size_t s = 0; s < plan_.steps.size(); ++s) {
    const PlanStep& step = plan_.steps[s];
    if (step.kind == Kind::BACKWARD && graph_.nodes[step.node].layer->IsLoss() && !LossIsFinite()) {
      return Result();  // backward would only spread it
    }
    ledger_.Begin(static_cast<int>(s));
    Execute(step);
    ledger_.End(static_cast<int>(s));
  }
  return Result();
}

std::string Executor::Run::FindNonFinite() {
  for (size_t s = 0; s < plan_.steps.size(); ++s) {
    const PlanStep& step = plan_.steps[s];
    if (step.kind == Kind::BACKWARD) break;
    ledger_.Begin(static_cast<int>(s));
    Execute(step);
    ledger_.End(static_cast<int>(s));
    if (step.kind != Kind::FORWARD) continue;
    const Node& node = graph_.nodes[step.node];
    for (const Tensor& output : ValueTensors(step.outputs, node.outputs)) {
      if (!backend_.AllFinite(output)) return node.name;
    }
  }
  return "";
}

void Executor::Run::Execute(const PlanStep& step) {
  switch (step.kind) {
    case Kind::INPUT:
      return MakeInput(step);
    case Kind::FORWARD:
      return Forward(step);
    case Kind::STORE:
      return Store(step);
    case Kind::STORE_MASK:
      return StoreMask(step);
    case Kind::PACK:
      return Pack(step);
    case Kind::UNPACK:
      return Unpack(step);
    case Kind::FETCH:
      return Fetch(step);
    case Kind::BACKWARD:
      return Backward(step);
    case Kind::ADD_GRADIENTS:
      return AddGradients(step);
  }
}

// ------------------------------------------------------------------------------------------------------------
// tensors

Tensor Executor::Run::TensorOf(int buffer, const Shape& shape, DType dtype) const {
  if (buffer < 0) return Tensor();
  return Tensor(executor_.arena_, plan_.buffers[buffer].offset, shape, dtype);
}

Tensor Executor::Run::ValueTensor(int buffer, int value) const {
  const int producer = graph_.values[value].producer;
  const bool loss = producer >= 0 && graph_.nodes[producer].layer->IsLoss();
  return TensorOf(buffer, graph_.values[value].shape, loss ? DType::F32 : plan_.options.compute);
}

std::vector<Tensor> Executor::Run::ValueTensors(const std::vector<int>& buffers,
                                                const std::vector<int>& values) const {
  std::vector<Tensor> tensors(values.size());
  for (size_t i = 0; i < buffers.size(); ++i) tensors[i] = ValueTensor(buffers[i], values[i]);
  return tensors;
}

std::vector<Tensor> Executor::Run::StateTensors(const PlanStep& step) const {
  const std::vector<StateSpec> specs = graph_.nodes[step.node].layer->States();
  std::vector<Tensor> tensors(specs.size());
  for (size_t i = 0; i < step.states.size(); ++i) {
    tensors[i] = TensorOf(step.states[i], specs[i].shape, specs[i].dtype);
  }
  return tensors;
}

std::vector<Tensor> Executor::Run::ParameterTensors(const std::vector<Tensor>& all,
                                                    const Node& node) const {
  std::vector<Tensor> tensors;
  for (int p : node.parameters) tensors.push_back(all[p]);
  return tensors;
}

// Differs for every (iteration, node); the low bits leave room for a million nodes.
uint64_t Executor::Run::RandomStream(int node) const {
  return (static_cast<uint64_t>(iteration_) << 20) | static_cast<uint64_t>(node);
}

// ------------------------------------------------------------------------------------------------------------
// forward

void Executor::Run::MakeInput(const PlanStep& step) {
  const auto per_channel = [&](const std::vector<float>& given) {
    const size_t channels = static_cast<size_t>(graph_.values[0].shape.c);
    return given.size() == channels ? given : std::vector<float>(channels, given.at(0));
  };
  backend_.NormalizeImage(batch_.images, per_channel(executor_.options_.mean),
                          per_channel(executor_.options_.std), ValueTensor(step.buffer, 0));
}

void Executor::Run::Forward(const PlanStep& step) {
  const Node& node = graph_.nodes[step.node];
  ForwardContext context{backend_,
                         phase_,
                         executor_.options_.seed,
                         RandomStream(step.node),
                         ValueTensors(step.inputs, node.inputs),
                         ValueTensors(step.outputs, node.outputs),
                         StateTensors(step),
                         ParameterTensors(executor_.parameters_, node),
                         batch_.labels};
  node.layer->Forward(context);
  if (phase_ == Phase::TRAIN) RecordStates(step);
}

ActivationRecord& Executor::Run::NewRecord(const std::string& layer, int value,
                                           const std::string& kind) {
  ActivationRecord record;
  record.layer = layer;
  record.value = value;
  record.kind = kind;
  executor_.records_.push_back(record);
  return executor_.records_.back();
}

void Executor::Run::RecordStates(const PlanStep& step) {
  const Node& node = graph_.nodes[step.node];
  const std::vector<StateSpec> specs = node.layer->States();
  for (size_t i = 0; i < specs.size(); ++i) {
    ActivationRecord& record = NewRecord(node.name + "." + specs[i].name, -1, "state");
    const bool packed = plan_.options.compress && specs[i].bits > 0;
    record.shape = specs[i].shape;
    record.codec = packed ? "bits" : "raw";
    record.raw_bytes = specs[i].shape.elements() * SizeOf(specs[i].dtype);
    record.stored_bytes =
        packed ? (specs[i].shape.elements() * specs[i].bits + 7) / 8 : record.raw_bytes;
    record.error_bound = 0;
  }
}

void Executor::Run::Store(const PlanStep& step) {
  const SavedValue& saved = plan_.saved[step.saved];
  const Tensor tensor = ValueTensor(step.buffer, saved.value);
  ActivationRecord& record = NewRecord(graph_.values[saved.value].name, saved.value,
                                       saved.norm_consumer >= 0 ? "norm_input" : "value");
  if (saved.mask) record.kind = "relu";
  if (saved.value == 0) record.kind = "input";
  const bool raw = saved.keep == Keep::RAW;
  CodecOptions codec_options;
  if (!raw) codec_options = BoundOf(saved, step, &record);
  DumpValue(saved, tensor, codec_options);
  if (Audits(saved)) KeepExact(saved, tensor);
  const StoredValue stored =
      executor_.store_->Put(step.saved, tensor, raw ? "raw" : plan_.options.codec, codec_options);
  stored_.insert(step.saved);
  record.shape = tensor.shape();
  record.codec = stored.codec;
  record.raw_bytes = stored.raw_bytes;
  record.stored_bytes = stored.stored_bytes;
  record.encode_us = stored.encode_seconds * 1e6;
  record_of_saved_[step.saved] = static_cast<int>(executor_.records_.size()) - 1;
  if (raw) return;
  const EncodeStatistics& statistics = stored.statistics;
  const double elements = static_cast<double>(std::max<int64_t>(statistics.elements, 1));
  record.nonzero_fraction = static_cast<double>(statistics.nonzero) / elements;
  executor_.controller_->ObserveValue(saved.value, record.nonzero_fraction,
                                      std::sqrt(statistics.sum_of_squares / elements));
  for (int consumer : saved.gradient_consumers) {
    record.predicted_sigma =
        std::max(record.predicted_sigma,
                 executor_.controller_->PredictedSigma(saved.value, consumer, record.error_bound));
  }
}

// The tightest of what the value's readers ask for.
CodecOptions Executor::Run::BoundOf(const SavedValue& saved, const PlanStep& step,
                                    ActivationRecord* record) {
  CodecOptions options;
  options.mask = saved.mask;
  record->error_bound = 0;
  if (options_.exact || saved.exact) return options;
  const BoundController& controller = *executor_.controller_;
  double bound = std::numeric_limits<double>::infinity();
  if (!saved.gradient_consumers.empty()) {
    bound = controller.BoundFor(saved.value, iteration_);
    record->tolerance = controller.ToleranceFor(saved.value, iteration_);
  }
  if (saved.rms) {
    const Tensor tensor = ValueTensor(step.buffer, saved.value);
    const double rms =
        std::sqrt(backend_.SumOfSquares(tensor) / static_cast<double>(tensor.elements()));
    bound = std::min(bound, controller.options().rms_bound * rms);
  }
  if (saved.norm_consumer >= 0) {
    options.bound = ErrorBound::PerChannel(NormBounds(saved, step, bound));
    double sum = 0;
    for (float channel : options.bound.channel) sum += channel;
    record->error_bound = sum / static_cast<double>(options.bound.channel.size());
  } else {
    options.bound = ErrorBound::Uniform(static_cast<float>(bound));
    record->error_bound = bound;
  }
  return options;
}

// A fraction of each channel's standard deviation, and no more than `most`.
std::vector<float> Executor::Run::NormBounds(const SavedValue& saved, const PlanStep& step,
                                             double most) const {
  const int64_t channels = graph_.values[saved.value].shape.c;
  std::vector<float> bounds(channels);
  backend_.CopyToHost(TensorOf(step.states.at(0), Shape::Vector(channels), DType::F32),
                      bounds.data());
  const double fraction = executor_.controller_->options().channel_std_bound;
  for (float& bound : bounds) {
    const double wanted = std::min(fraction / bound, most);
    bound = std::isfinite(wanted) ? static_cast<float>(wanted) : 0.0f;
  }
  return bounds;
}

void Executor::Run::StoreMask(const PlanStep& step) {
  const Tensor value = ValueTensor(step.other, step.value);
  const int64_t bytes = (value.elements() + 7) / 8;
  backend_.PackMask(value, TensorOf(step.buffer, Shape::Vector(bytes), DType::U8));
  ActivationRecord& record = NewRecord(graph_.values[step.value].name, step.value, "mask");
  record.shape = value.shape();
  record.codec = "bits";
  record.raw_bytes = value.bytes();
  record.stored_bytes = bytes;
  record.error_bound = 0;
}

void Executor::Run::Pack(const PlanStep& step) {
  const SavedState& state = plan_.states[step.saved];
  const StateSpec spec = graph_.nodes[state.node].layer->States()[state.index];
  const int64_t bytes = (spec.shape.elements() * state.bits + 7) / 8;
  backend_.PackBits(TensorOf(step.other, spec.shape, DType::U8), state.bits,
                    TensorOf(step.buffer, Shape::Vector(bytes), DType::U8));
}

// -----------------------------------------------------------------------------------------------------------
// backward

void Executor::Run::Unpack(const PlanStep& step) {
  const SavedState& state = plan_.states[step.saved];
  const StateSpec spec = graph_.nodes[state.node].layer->States()[state.index];
  const int64_t bytes = (spec.shape.elements() * state.bits + 7) / 8;
  backend_.UnpackBits(TensorOf(step.other, Shape::Vector(bytes), DType::U8), state.bits,
                      TensorOf(step.buffer, spec.shape, DType::U8));
}

void Executor::Run::Fetch(const PlanStep& step) {
  const auto start = std::chrono::steady_clock::now();
  const Tensor scratch = ValueTensor(step.buffer, step.value);
  executor_.store_->Get(step.saved, 0, scratch.shape().n, scratch);
  executor_.store_->Release(step.saved);
  stored_.erase(step.saved);
  executor_.records_[record_of_saved_.at(step.saved)].decode_us = Microseconds(start);
}

BackwardContext Executor::Run::MakeBackwardContext(const PlanStep& step) const {
  const Node& node = graph_.nodes[step.node];
  BackwardContext context{backend_,
                          executor_.options_.seed,
                          RandomStream(step.node),
                          ValueTensors(step.inputs, node.inputs),
                          ValueTensors(step.outputs, node.outputs),
                          std::vector<Tensor>(node.outputs.size()),
                          StateTensors(step),
                          ParameterTensors(executor_.parameters_, node),
                          ValueTensors(step.output_gradients, node.outputs),
                          ValueTensors(step.input_gradients, node.inputs),
                          ParameterTensors(executor_.gradients_, node),
                          options_.accumulate,
                          batch_.labels};
  for (size_t i = 0; i < step.output_masks.size(); ++i) {
    const int64_t bytes = (graph_.values[node.outputs[i]].shape.elements() + 7) / 8;
    context.output_masks[i] = TensorOf(step.output_masks[i], Shape::Vector(bytes), DType::U8);
  }
  const float samples =
      options_.loss_scale_count > 0 ? options_.loss_scale_count : static_cast<float>(batch_.size());
  context.loss_scale = 1.0f / samples;
  return context;
}

void Executor::Run::Backward(const PlanStep& step) {
  const int saved = SavedReadBy(step.node);
  const bool audit = saved >= 0 && exact_.count(plan_.saved[saved].value) > 0 &&
                     (audited_node_ < 0 || audited_node_ == step.node);
  if (audit) AuditNode(step, saved);  // first, since backward may overwrite the output gradient
  GradientStatistics statistics;
  const bool observe = refresh_ && saved >= 0;
  if (observe) statistics = OutputStatistics(step, saved);
  BackwardContext context = MakeBackwardContext(step);
  graph_.nodes[step.node].layer->Backward(context);
  if (observe) Observe(step, statistics);
}

void Executor::Run::AddGradients(const PlanStep& step) {
  backend_.Add(ValueTensor(step.inputs[0], step.value), ValueTensor(step.inputs[1], step.value),
               ValueTensor(step.buffer, step.value));
}

// ------------------------------------------------------------------------------------------------------------
// results

bool Executor::Run::LossIsFinite() const {
  return backend_.AllFinite(ValueTensor(plan_.loss_buffer, graph_.nodes.back().outputs[0]));
}

StepResult Executor::Run::Result() const {
  StepResult result;
  result.samples = batch_.size();
  const Tensor loss = ValueTensor(plan_.loss_buffer, graph_.nodes.back().outputs[0]);
  std::vector<float> losses(loss.elements());
  backend_.CopyToHost(loss, losses.data());
  for (float sample : losses) result.loss += sample;
  result.finite = std::isfinite(result.loss);

  const Tensor logits = ValueTensor(plan_.logits_buffer, graph_.logits);
  const int64_t classes = logits.shape().sample();
  std::vector<float> scores = HostFloats(logits);
  std::vector<int32_t> labels(batch_.size());
  backend_.CopyToHost(batch_.labels, labels.data());
  for (int64_t n = 0; n < batch_.size(); ++n) {
    const float* row = scores.data() + n * classes;
    const float own = row[labels[n]];
    int64_t rank =
        0;  // equals count as ahead when they come first, so that constant logits earn nothing
    for (int64_t k = 0; k < classes; ++k) rank += row[k] > own || (row[k] == own && k < labels[n]);
    result.top1 += rank == 0;
    result.top5 += rank < 5;
  }
  return result;
}

std::vector<float> Executor::Run::HostFloats(const Tensor& tensor) const {
  std::vector<float> floats(tensor.elements());
  if (tensor.dtype() == DType::F32) {
    backend_.CopyToHost(tensor, floats.data());
    return floats;
  }
  std::vector<bfloat16> halves(tensor.elements());
  backend_.CopyToHost(tensor, halves.data());
  std::transform(halves.begin(), halves.end(), floats.begin(),
                 [](bfloat16 x) { return static_cast<float>(x); });
  return floats;
}

}  // namespace encke
