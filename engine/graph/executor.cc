#include "engine/graph/executor.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iterator>
#include <map>
#include <utility>

#include "engine/core/error.h"
#include "engine/graph/block_end_bounds.h"
#include "engine/graph/plan_choice.h"
#include "engine/graph/run.h"
#include "layers/initialize.h"

namespace encke {

Executor::Executor(Graph graph, Backend& backend, const ExecutorOptions& options)
    : graph_(std::move(graph)),
      backend_(backend),
      options_(options),
      held_before_(backend.allocator().ledger().Current().total()),
      store_(backend.NewActivationStore(options.store)),
      controller_(std::make_unique<BoundController>(options.controller)) {
  if (!backend_.Supports(options.plan.compute)) {
    throw Error(ErrorKind::DEVICE,
                StrCat("this machine cannot compute in ", NameOf(options.plan.compute)),
                backend_.name(), "use training { precision: FP32 }");
  }
  for (const Parameter& parameter : graph_.parameters) {
    const Shape& shape = parameter.spec.shape;
    parameters_.push_back(
        Tensor::Empty(backend_.allocator(), shape, DType::F32, MemoryCategory::PARAMETER));
  }
  gradients_.resize(graph_.parameters.size());
  velocity_.resize(graph_.parameters.size());
  statistics_.resize(graph_.parameters.size());
}

Executor::~Executor() = default;

void Executor::InitializeParameters() {
  for (size_t p = 0; p < parameters_.size(); ++p) {
    const Parameter& parameter = graph_.parameters[p];
    std::vector<float> values(parameter.spec.shape.elements());
    InitializeParameter(parameter.spec, parameter.name, options_.seed, values.data());
    backend_.CopyFromHost(values.data(), parameters_[p]);
  }
}

int64_t Executor::PlanLimit() const {
  const int64_t limit = backend_.allocator().limit();
  return limit == 0 ? 0 : std::max<int64_t>(limit - held_before_, 1);
}

void Executor::Prepare(int64_t batch) {
  const int64_t limit = PlanLimit();
  Plan plan = ChoosePlan(graph_, backend_, batch, options_.plan, limit);
  RequireFits(graph_, backend_, plan, options_.plan, limit, "");
  Adopt(std::move(plan));
}

bool Executor::PrepareForRatio(double ratio) {
  const int64_t limit = PlanLimit();
  if (limit == 0 || !options_.plan.compress) return false;
  PlanOptions options = options_.plan;
  options.assumed_ratio = ratio;
  Plan plan = ChoosePlan(graph_, backend_, plan_.batch, options, limit);
  if (plan.peak.use.total() > limit) return false;
  options_.plan = options;
  // What the plan before held gives way to what this one holds.
  backend_.Synchronize();
  store_.reset();
  arena_.reset();
  probe_memory_.reset();
  evaluation_plan_ = Plan();
  memory_trace_ = MemoryTrace();
  Adopt(std::move(plan));
  return true;
}

void Executor::Adopt(Plan plan) {
  plan_ = std::move(plan);
  const bool offloads = plan_.predicted_offloaded_bytes() > 0 && !options_.store.spill;
  if (store_ == nullptr || (offloads && !options_.store.offload)) {
    options_.store.offload = options_.store.offload || offloads;
    store_.reset();
    store_ = backend_.NewActivationStore(options_.store);
    store_->Borrow(arena_);
  }
  for (const SavedValue& saved : plan_.saved) {
    for (int consumer : saved.gradient_consumers) controller_->AddConsumer(saved.value, consumer);
  }
  for (size_t p = 0; p < gradients_.size(); ++p) {
    const ParameterSpec& spec = graph_.parameters[p].spec;
    if (!spec.trained() || gradients_[p].defined()) continue;
    gradients_[p] =
        Tensor::Empty(backend_.allocator(), spec.shape, DType::F32, MemoryCategory::GRADIENT);
  }
  ReserveArena(plan_.arena_bytes);
  ReserveProbes(plan_.probe_bytes);
  store_->Expect(plan_.pool_bytes);
}

void Executor::NoteDerivation(const std::string& layer, const Derivation& derivation) {
  Decision& decision = decisions_[layer];
  decision.derived = derivation.derived;
  decision.reason = derivation.reason;
}

std::vector<std::string> Executor::TakeNotes() {
  std::map<std::string, std::vector<std::string>> layers;  // by what is said of them
  for (auto& [layer, decision] : decisions_) {
    if (std::exchange(decision.reported, decision.derived) == decision.derived) continue;
    const char* what = decision.derived ? "inputs made from their block's output"
                                        : "inputs kept beside their block's output";
    layers[StrCat(what, ", ", decision.reason)].push_back(layer);
  }
  std::vector<std::string> notes;
  for (const auto& [what, list] : layers) notes.push_back(StrCat(what, ": ", Joined(list)));
  return notes;
}

void Executor::ReserveArena(int64_t bytes) {
  if (arena_ != nullptr && arena_->bytes() >= bytes) return;
  store_->Borrow(nullptr);
  arena_.reset();
  arena_ = backend_.allocator().Allocate(bytes, MemoryCategory::UNUSED);
  store_->Borrow(arena_);
}

MemoryTrace* Executor::StartTrace(Phase phase, int64_t iteration, const TrainOptions& options) {
  const bool usual = phase == Phase::TRAIN && options.audit == Audit::NONE && !options.exact;
  if (!usual) return nullptr;
  memory_trace_.Start(iteration, plan_.steps.size());
  return &memory_trace_;
}

void Executor::ReserveProbes(int64_t bytes) {
  if (bytes == 0 || (probe_memory_ != nullptr && probe_memory_->bytes() >= bytes)) return;
  probe_memory_.reset();
  probe_memory_ = backend_.allocator().Allocate(bytes, MemoryCategory::WORKSPACE);
}

Batch Executor::OnDevice(const Batch& batch) {
  Allocator& allocator = backend_.allocator();
  if (allocator.device().is_cpu()) return batch;
  const auto copy = [&](const Tensor& from, std::shared_ptr<Buffer>* buffer) {
    const bool fits = *buffer != nullptr && (*buffer)->bytes() >= from.bytes();
    if (!fits) {
      buffer->reset();
      *buffer = allocator.Allocate(from.bytes(), MemoryCategory::DATA);
    }
    const Tensor to(*buffer, 0, from.shape(), from.dtype());
    // A pass has read its batch when it is over; memory that is new may be in use as what it was.
    fits ? backend_.BeginCopyFromHost(from.raw(), to) : backend_.CopyFromHost(from.raw(), to);
    return to;
  };
  return {copy(batch.images, &batch_images_), copy(batch.labels, &batch_labels_)};
}

StepResult Executor::Train(const Batch& batch, int64_t iteration, const TrainOptions& options) {
  ENCKE_CHECK(batch.size() > 0 && batch.size() <= plan_.batch, batch.size(), " of ", plan_.batch);
  records_.clear();
  dumped_.clear();
  TakeStatistics();
  StepResult result;
  try {
    result = Run(this, plan_, OnDevice(batch), Phase::TRAIN, iteration, options).Execute();
  } catch (const Error&) {
    RestoreStatistics();
    codings_.Forget();
    codecs_.Forget();
    RemoveDumps();
    throw;
  }
  if (options.audit == Audit::ONE) ++audits_;
  result.finite = result.finite && GradientsFinite();
  if (!result.finite) RestoreStatistics();
  if (!result.finite || options.exact) codings_.Forget();
  if (!result.finite) codecs_.Forget();
  return result;
}

void Executor::RemoveDumps() {
  std::error_code ignored;
  for (const std::string& path : dumped_) std::filesystem::remove(path, ignored);
  dumped_.clear();
}

StepResult Executor::Evaluate(const Batch& batch) {
  if (evaluation_plan_.batch < batch.size()) {
    PlanOptions plan_options = plan_.batch > 0 ? plan_.options : options_.plan;
    plan_options.training = false;
    evaluation_plan_ = MakePlan(graph_, backend_, batch.size(), plan_options);
    ReserveArena(evaluation_plan_.arena_bytes);
  }
  return Run(this, evaluation_plan_, OnDevice(batch), Phase::EVALUATE, 0, {}).Execute();
}

std::string Executor::FirstNonFiniteNode(const Batch& batch, int64_t iteration) {
  TakeStatistics();
  TrainOptions options;
  options.exact = true;
  const std::string name =
      Run(this, plan_, OnDevice(batch), Phase::TRAIN, iteration, options).FindNonFinite();
  RestoreStatistics();
  return name;
}

void Executor::TakeStatistics() {
  for (size_t p = 0; p < parameters_.size(); ++p) {
    if (graph_.parameters[p].spec.trained()) continue;
    if (!statistics_[p].defined()) {
      statistics_[p] = Tensor::Empty(backend_.allocator(), parameters_[p].shape(), DType::F32,
                                     MemoryCategory::WORKSPACE);
    }
    backend_.Copy(parameters_[p], statistics_[p]);
  }
}

void Executor::RestoreStatistics() {
  for (size_t p = 0; p < parameters_.size(); ++p) {
    if (statistics_[p].defined()) backend_.Copy(statistics_[p], parameters_[p]);
  }
}

bool Executor::GradientsFinite() {
  std::vector<Tensor> defined;
  std::copy_if(gradients_.begin(), gradients_.end(), std::back_inserter(defined),
               [](const Tensor& gradient) { return gradient.defined(); });
  return backend_.AllFinite(defined);
}

int64_t Executor::SumOf(int64_t ActivationRecord::*bytes) const {
  int64_t sum = 0;
  for (const ActivationRecord& record : records_) sum += record.*bytes;
  return sum;
}

int64_t Executor::raw_saved_bytes() const { return SumOf(&ActivationRecord::raw_bytes); }

int64_t Executor::stored_bytes() const { return SumOf(&ActivationRecord::stored_bytes); }

int64_t Executor::offloaded_bytes() const { return SumOf(&ActivationRecord::offloaded_bytes); }

}  // namespace encke
