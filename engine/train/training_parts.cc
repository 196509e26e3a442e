#include "engine/train/training_parts.h"

#include <utility>

#include "engine/core/error.h"
#include "engine/core/log.h"
#include "engine/core/parallel.h"
#include "engine/core/units.h"
#include "engine/graph/plan_choice.h"
#include "engine/train/config_difference.h"
#include "engine/train/options.h"
#include "engine/train/parameter_layout.h"

namespace encke {
namespace {

std::vector<ParameterSpec> SpecsOf(const Graph& graph) {
  std::vector<ParameterSpec> specs;
  for (const Parameter& parameter : graph.parameters) specs.push_back(parameter.spec);
  return specs;
}

void Append(std::vector<CheckpointTensor> from, std::vector<CheckpointTensor>* to) {
  for (CheckpointTensor& tensor : from) to->push_back(std::move(tensor));
}

}  // namespace

TrainingParts::TrainingParts(const ConfigFile& file, const TrainerOptions& options) : file_(file) {
  SetThreads(config().training().threads());
  Graph graph = BuildNetwork(file_);
  backend_ = NewBackend(options.device, MakeBackendOptions(config()));
  executor_ = std::make_unique<Executor>(std::move(graph), *backend_,
                                         MakeExecutorOptions(config(), *backend_));
  // After the parameters: a limit below them is for the plan to refuse, which says what would fit.
  const int64_t limit = MemoryLimit(config());
  if (limit > 0) backend_->allocator().set_limit(limit);
  executor_->InitializeParameters();
  if (!options.evaluate_only) PrepareTraining();
  StartAverage();
  test_data_ = OpenDataset(MakeDatasetOptions(config(), Split::TEST), Split::TEST);
}

void TrainingParts::StartAverage() {
  average_.reset();  // no two at a time
  if (config().training().ema() == 0) return;
  average_ = std::make_unique<WeightAverage>(executor_->parameters(), *backend_,
                                             config().training().ema());
}

void TrainingParts::LoadWeights(const std::string& path) {
  const Graph& graph = std::as_const(*executor_).graph();
  Checkpoint(path).Load(CheckpointView(graph, executor_->parameters()), *backend_);
  StartAverage();
}

void TrainingParts::PrepareTraining() {
  executor_->Prepare(config().training().batch());
  if (MemoryLimit(config()) > 0) {
    LogInfo(StrCat("memory limit ", config().training().memory_limit(), ": ",
                   DescribeChoice(executor_->plan()), ", predicted peak ",
                   FormatBytes(executor_->plan().peak.use.total())));
    for (const std::string& rejected : executor_->plan().rejected) {
      LogInfo(StrCat("  too large: ", rejected));
    }
  }
  optimizer_ = std::make_unique<Optimizer>(SpecsOf(executor_->graph()), *backend_,
                                           MakeOptimizerOptions(config().optimizer()));
  const double momentum = config().optimizer().momentum();
  if (momentum != 0) executor_->SetVelocity(optimizer_->velocity(), momentum);
  training_data_ = OpenDataset(MakeDatasetOptions(config(), Split::TRAIN), Split::TRAIN);
  loader_ = NewLoader(*training_data_, MakeLoaderOptions(config(), Split::TRAIN),
                      backend_->host_allocator());
  timetable_ = std::make_unique<Timetable>(config().training(), loader_->batches_per_epoch(),
                                           loader_->samples_per_epoch());
}

std::vector<CheckpointTensor> TrainingParts::Tensors() const {
  const Graph& graph = std::as_const(*executor_).graph();
  std::vector<CheckpointTensor> tensors = CheckpointView(graph, executor_->parameters());
  if (average_ != nullptr) Append(CheckpointView(graph, average_->average(), "ema."), &tensors);
  if (optimizer_ != nullptr)
    Append(CheckpointView(graph, optimizer_->velocity(), "optimizer.velocity."), &tensors);
  return tensors;
}

TrainingState TrainingParts::State(const TrainingPosition& position) {
  TrainingState state;
  state.iteration = position.iteration;
  state.epoch = timetable_->EpochsAfter(position.iteration);
  state.samples_per_epoch = loader_->samples_per_epoch();
  state.best_top1 = position.best_top1;
  state.evaluation_pending = position.evaluation_pending;
  state.average_updates = average_ != nullptr ? average_->updates() : 0;
  state.audits = executor_->audits();
  state.controller = executor_->controller().Save();
  state.codings = executor_->codings().Save();
  state.codecs = executor_->codecs().Save();
  state.assumed_ratio = executor_->assumed_ratio();
  state.meters = position.meters.Save();
  state.config = file_.ToText();
  return state;
}

TrainingPosition TrainingParts::Restore(const std::string& path, bool evaluate_only) {
  const Checkpoint checkpoint(path);
  if (!checkpoint.has_state() && !evaluate_only)
    throw Error(ErrorKind::CONFIG, "the file holds weights, but no state of training to go on from",
                path, "`encke test` evaluates it");
  if (checkpoint.has_state()) {
    checkpoint.Load(Tensors(), *backend_);
    CheckSameConfig(checkpoint.state().config, config(), path, evaluate_only);
  } else {
    average_.reset();
    checkpoint.Load(Tensors(), *backend_);
  }
  return evaluate_only ? TrainingPosition() : RestoreState(checkpoint);
}

TrainingPosition TrainingParts::RestoreState(const Checkpoint& checkpoint) {
  const TrainingState& state = checkpoint.state();
  if (state.samples_per_epoch != loader_->samples_per_epoch())
    throw Error(ErrorKind::CONFIG,
                StrCat("the training data has ", loader_->samples_per_epoch(),
                       " images; the checkpoint was made with ", state.samples_per_epoch),
                checkpoint.path(), "give the same data as before, or start a new run");
  TrainingPosition position;
  position.iteration = state.iteration;
  position.best_top1 = state.best_top1;
  position.evaluation_pending = state.evaluation_pending;
  position.meters.Restore(state.meters);
  // By the plan that the memory limit had led to.
  const bool tighter = state.assumed_ratio > 0 && state.assumed_ratio < executor_->assumed_ratio();
  if (tighter) executor_->PrepareForRatio(state.assumed_ratio);
  executor_->controller().Restore(state.controller);
  executor_->codings().Restore(state.codings);
  executor_->codecs().Restore(state.codecs);
  executor_->set_audits(state.audits);
  if (average_ != nullptr) average_->set_updates(state.average_updates);
  return position;
}

}  // namespace encke
