#include "engine/graph/run.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "engine/core/error.h"
#include "engine/core/packed_samples.h"

namespace encke {
namespace {

// Takes back what it lends, also when a step fails.
class LentWorkspace {
 public:
  LentWorkspace(Backend* backend, void* memory, int64_t bytes) : backend_(backend) {
    backend_->LendWorkspace(memory, bytes);
  }
  ~LentWorkspace() { backend_->LendWorkspace(nullptr, 0); }
  LentWorkspace(const LentWorkspace&) = delete;
  LentWorkspace& operator=(const LentWorkspace&) = delete;

 private:
  Backend* backend_;
};

// REQUIRES: F32 or BF16.
std::vector<float> Floats(const void* from, int64_t count, DType dtype) {
  std::vector<float> floats(count);
  if (dtype == DType::F32) {
    std::copy_n(static_cast<const float*>(from), count, floats.begin());
  } else {
    std::transform(static_cast<const bfloat16*>(from), static_cast<const bfloat16*>(from) + count,
                   floats.begin(), [](bfloat16 x) { return static_cast<float>(x); });
  }
  return floats;
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
      update_(options.update > 0 ? options.update : iteration),
      options_(options),
      ledger_(&plan, &executor->backend_.allocator().ledger(),
              executor->StartTrace(phase, iteration, options)),
      stored_(executor->store_.get(), &executor->codings_, iteration),
      scales_(&executor->backend_),
      norms_(&executor->backend_),
      errors_(&executor->backend_),
      patterns_(&executor->backend_) {
  if (graph_.values[0].shape.n != batch.size()) graph_.InferShapes(batch.size());
  if (phase == Phase::TRAIN && plan.options.compress) {
    executor_.codecs_.Start();
    refresh_ = executor_.controller_->Refreshes(update_);
    if (!options.exact && !plan.probes.empty()) probe_ = executor_.controller_->ProbeOf(update_);
  }
  if (options.audit == Audit::ONE) audited_node_ = NextAudited();
  if (phase == Phase::TRAIN && !options.exact) ReadScales();
}

StepResult Executor::Run::Execute() {
  ForEachStep([&](int s) {
    const PlanStep& step = plan_.steps[s];
    const bool begins_backward =
        step.kind == Kind::BACKWARD && graph_.nodes[step.node].layer->IsLoss();
    if (begins_backward) RecordDerivedBounds();
    if (begins_backward && !LossIsFinite()) return false;  // backward would only spread it
    Execute(step);
    return true;
  });
  for (const std::function<void()>& act : later_) act();
  return Result();
}

std::string Executor::Run::FindNonFinite() {
  fuses_ = false;
  std::string name;
  ForEachStep([&](int s) {
    const PlanStep& step = plan_.steps[s];
    if (s >= plan_.backward_begin) return true;
    Execute(step);
    if (step.kind != Kind::FORWARD) return true;
    const Node& node = graph_.nodes[step.node];
    for (const Tensor& output : ValueTensors(step.outputs, node.outputs)) {
      if (!backend_.AllFinite(output)) name = node.name;
    }
    return name.empty();
  });
  return name;
}

void Executor::Run::ForEachStep(const std::function<bool(int)>& visit) {
  bool goes_on = true;
  for (size_t i = 0; i < plan_.sections.size() && goes_on; ++i) {
    goes_on = RunSection(plan_.sections[i], visit);
  }
  now_ = {0, batch_.size()};
}

bool Executor::Run::RunSection(const PlanSection& section, const std::function<bool(int)>& visit) {
  const int64_t batch = batch_.size(), slices = (batch + section.samples - 1) / section.samples;
  for (int64_t i = 0; i < slices; ++i) {
    const int64_t first = (section.reversed ? slices - 1 - i : i) * section.samples;
    now_ = {first, std::min(section.samples, batch - first), i > 0, i + 1 == slices};
    for (int s = section.first; s < section.end; ++s) {
      const PlanStep& step = plan_.steps[s];
      const bool first_only =
          step.kind == Kind::FINISH_FORWARD || step.kind == Kind::FINISH_BACKWARD;
      const bool skipped = (first_only && now_.continues) || (TakesWholeBatch(step) && !now_.last);
      ledger_.Begin(s);
      if (!skipped && !visit(s)) return false;
      ledger_.End(s, now_.last);
    }
  }
  return true;
}

void Executor::Run::Execute(const PlanStep& step) {
  if (Skips(step) || Fused(step)) return;
  if (!unread_.empty()) AwaitReaders(step);
  if (step.workspace < 0) return Perform(step);
  const int64_t bytes = plan_.buffers[step.workspace].bytes;
  const Tensor memory = TensorOf(step.workspace, Shape::Vector(bytes), DType::U8);
  const LentWorkspace lent(&backend_, memory.raw(), bytes);
  Perform(step);
}

void Executor::Run::Perform(const PlanStep& step) {
  switch (step.kind) {
    case Kind::INPUT:
      return MakeInput(step);
    case Kind::FORWARD:
    case Kind::GATHER_FORWARD:
    case Kind::FINISH_FORWARD:
    case Kind::REBUILD:
      return Forward(step);
    case Kind::STORE:
      return Store(step);
    case Kind::STORE_MASK:
      return StoreMask(step);
    case Kind::PACK:
      return Pack(step);
    case Kind::UNPACK:
      return Unpack(step);
    case Kind::PREFETCH:
      return Prefetch(step);
    case Kind::FETCH:
      return Fetch(step);
    case Kind::DERIVE:
      return Derive(step);
    case Kind::BACKWARD:
    case Kind::GATHER_BACKWARD:
    case Kind::FINISH_BACKWARD:
      return Backward(step);
    case Kind::BACKWARD_PARAMETERS:
      return BackwardParameters(step);
    case Kind::ADD_GRADIENTS:
      return AddGradients(step);
  }
}

// ------------------------------------------------------------------------------------------------------------
// tensors

// In the arena, of the current slice.
int64_t Executor::Run::OffsetOf(int buffer) const {
  const PlannedBuffer& planned = plan_.buffers[buffer];
  const int64_t own = planned.whole ? now_.first : std::min(now_.first, planned.held);
  return planned.offset + own * planned.sample_bytes;
}

Tensor Executor::Run::TensorOf(int buffer, const Shape& shape, DType dtype) const {
  if (buffer < 0) return Tensor();
  return Tensor(executor_.arena_, OffsetOf(buffer), shape, dtype);
}

// As plain bytes, a sample for each row.
Tensor Executor::Run::BytesOf(int buffer) const {
  if (buffer < 0) return Tensor();
  return TensorOf(buffer, {now_.count, 1, 1, plan_.buffers[buffer].sample_bytes}, DType::U8);
}

Tensor Executor::Run::ValueTensor(int buffer, int value) const {
  const int producer = graph_.values[value].producer;
  const bool loss = producer >= 0 && graph_.nodes[producer].layer->IsLoss();
  return TensorOf(buffer, graph_.values[value].shape.WithBatch(now_.count),
                  loss ? DType::F32 : plan_.options.compute);
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
    const Shape shape = specs[i].whole ? specs[i].shape : specs[i].shape.WithBatch(now_.count);
    tensors[i] = TensorOf(step.states[i], shape, specs[i].dtype);
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
  backend_.NormalizeImage(batch_.images.Slice(now_.first, now_.count),
                          per_channel(executor_.options_.mean), per_channel(executor_.options_.std),
                          ValueTensor(step.buffer, 0));
}

ForwardContext Executor::Run::MakeForwardContext(const PlanStep& step) const {
  const Node& node = graph_.nodes[step.node];
  return {backend_,
          phase_,
          executor_.options_.seed,
          RandomStream(step.node),
          ValueTensors(step.inputs, node.inputs),
          ValueTensors(step.outputs, node.outputs),
          StateTensors(step),
          ParameterTensors(executor_.parameters_, node),
          Labels(),
          SliceNow()};
}

void Executor::Run::Forward(const PlanStep& step) {
  const Layer& layer = *graph_.nodes[step.node].layer;
  ForwardContext context = MakeForwardContext(step);
  if (step.kind == Kind::GATHER_FORWARD) return layer.GatherForward(context);
  if (step.kind == Kind::FINISH_FORWARD) {
    layer.FinishForward(context);
    return ReadNorm(step.node, context);
  }
  if (fuses_ && step.result >= 0) {
    const int value = graph_.nodes[step.node].outputs[0];
    context.outputs[0] = ValueTensor(step.result, value);
    context.addend = ValueTensor(step.addend, value);
    context.relu = step.relu;
  }
  layer.Forward(context);
  if (phase_ == Phase::TRAIN && step.kind == Kind::FORWARD) RecordStates(step);
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

// One for all slices.
ActivationRecord& Executor::Run::RecordNamed(const std::string& layer, int value,
                                             const std::string& kind) {
  const int next = static_cast<int>(executor_.records_.size());
  const auto [found, added] = record_named_.emplace(kind + " " + layer, next);
  return added ? NewRecord(layer, value, kind) : executor_.records_[found->second];
}

ActivationRecord& Executor::Run::RecordOf(int saved) {
  const SavedValue& value = plan_.saved[saved];
  const int next = static_cast<int>(executor_.records_.size());
  const auto [found, added] = record_of_saved_.emplace(saved, next);
  if (!added) return executor_.records_[found->second];
  ActivationRecord& record = NewRecord(graph_.values[value.value].name, value.value,
                                       value.value == 0 ? "input" : NameOf(KindOf(value)));
  record.shape = graph_.values[value.value].shape;
  record.error_bound = 0;
  return record;
}

void Executor::Run::RecordStates(const PlanStep& step) {
  const Node& node = graph_.nodes[step.node];
  const std::vector<StateSpec> specs = node.layer->States();
  for (size_t i = 0; i < specs.size(); ++i) {
    if (specs[i].scratch || (specs[i].whole && now_.continues)) continue;
    ActivationRecord& record = RecordNamed(node.name + "." + specs[i].name, -1, "state");
    const bool packed = plan_.options.eliminates() && specs[i].bits > 0;
    const int64_t samples = specs[i].whole ? specs[i].shape.n : now_.count;
    const int64_t raw = specs[i].shape.sample() * SizeOf(specs[i].dtype);
    record.shape = specs[i].shape;
    record.codec = packed ? "bits" : "raw";
    record.raw_bytes += samples * raw;
    record.stored_bytes +=
        samples * (packed ? PackedSampleBytes(specs[i].shape, specs[i].bits) : raw);
    record.error_bound = 0;
  }
}

// -----------------------------------------------------------------------------------------------------------
// backward

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
                          Labels(),
                          SliceNow()};
  if (step.kind == Kind::BACKWARD) context.accumulate = options_.accumulate || now_.continues;
  for (size_t i = 0; i < step.output_masks.size(); ++i) {
    context.output_masks[i] = BytesOf(step.output_masks[i]);
  }
  const float samples =
      options_.loss_scale_count > 0 ? options_.loss_scale_count : static_cast<float>(batch_.size());
  context.loss_scale = 1.0f / samples;
  return context;
}

void Executor::Run::Backward(const PlanStep& step) {
  const Layer& layer = *graph_.nodes[step.node].layer;
  BackwardContext context = MakeBackwardContext(step);
  if (step.kind == Kind::GATHER_BACKWARD) return layer.GatherBackward(context);
  if (step.kind == Kind::FINISH_BACKWARD) return layer.FinishBackward(context);
  const int saved = step.again ? -1 : SavedReadBy(step.node);
  const bool audit = saved >= 0 && exact_.count(plan_.saved[saved].value) > 0 &&
                     (audited_node_ < 0 || audited_node_ == step.node);
  const bool observe = refresh_ && saved >= 0;
  const bool probe = !step.again && DueProbe(step.node) != nullptr;
  // First, since backward may overwrite the output gradient.
  if (audit || observe || probe) AddOutputStatistics(step, saved);
  if (audit) AuditNode(step, saved);
  if (probe) ProbeNode(step, saved);
  if (!step.parameters) {
    context.parameter_gradients.assign(context.parameter_gradients.size(), Tensor());
  }
  layer.Backward(context);
  if (observe && now_.last && step.parameters) Observe(step.node);
}

// All slices are there.
void Executor::Run::BackwardParameters(const PlanStep& step) {
  const Now slice = now_;
  now_ = {0, batch_.size()};
  BackwardContext context = MakeBackwardContext(step);
  context.accumulate = options_.accumulate;
  graph_.nodes[step.node].layer->Backward(context);
  now_ = slice;
  if (refresh_ && SavedReadBy(step.node) >= 0) Observe(step.node);
}

void Executor::Run::AddGradients(const PlanStep& step) {
  const Tensor a = ValueTensor(step.inputs[0], step.value);
  const Tensor b = ValueTensor(step.inputs[1], step.value);
  const Tensor sum = ValueTensor(step.buffer, step.value);
  if (step.gate < 0) return backend_.Add(a, b, sum);
  backend_.AddReluBackward(ValueTensor(step.gate, step.value), a, b, sum);
}

// ------------------------------------------------------------------------------------------------------------
// results

// Of the slice.
void Executor::Run::ReadScores() {
  const Tensor loss = ValueTensor(plan_.loss_buffer, graph_.nodes.back().outputs[0]);
  const Tensor logits = ValueTensor(plan_.logits_buffer, graph_.logits);
  scores_.push_back({now_.count, backend_.StartCopyToHost({loss, Labels(), logits})});
}

// Waits for the forward pass; what else is read of it is looked at when backward is under way.
bool Executor::Run::LossIsFinite() {
  ReadScores();
  const auto* losses = static_cast<const float*>(scores_.back().copy->Wait());
  return std::all_of(losses, losses + now_.count, [](float loss) { return std::isfinite(loss); });
}

StepResult Executor::Run::Result() {
  if (scores_.empty()) ReadScores();
  StepResult result;
  result.samples = batch_.size();
  for (const Scores& scores : scores_) AddScores(scores, &result);
  result.finite = std::isfinite(result.loss);
  return result;
}

void Executor::Run::AddScores(const Scores& scores, StepResult* result) const {
  const int64_t samples = scores.samples, classes = graph_.values[graph_.logits].shape.sample();
  const auto* losses = static_cast<const float*>(scores.copy->Wait());
  const auto* labels = reinterpret_cast<const int32_t*>(losses + samples);
  const void* logits = labels + samples;
  const std::vector<float> floats = Floats(logits, samples * classes, plan_.options.compute);
  for (int64_t n = 0; n < samples; ++n) {
    const float* row = floats.data() + n * classes;
    const float own = row[labels[n]];
    int64_t rank =
        0;  // equals count as ahead when they come first, so that constant logits earn nothing
    for (int64_t k = 0; k < classes; ++k) rank += row[k] > own || (row[k] == own && k < labels[n]);
    result->loss += losses[n];
    result->top1 += rank == 0;
    result->top5 += rank < 5;
  }
}

std::vector<float> Executor::Run::HostFloats(const Tensor& tensor) const {
  std::vector<uint8_t> bytes(tensor.bytes());
  backend_.CopyToHost(tensor, bytes.data());
  return Floats(bytes.data(), tensor.elements(), tensor.dtype());
}

}  // namespace encke
