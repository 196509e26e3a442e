#include "engine/train/trainer.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <utility>

#include "engine/core/log.h"
#include "engine/core/units.h"
#include "engine/train/evaluation.h"
#include "engine/train/options.h"
#include "engine/train/run_directory.h"
#include "engine/train/run_log.h"
#include "engine/train/schedule.h"
#include "engine/train/training_parts.h"

namespace encke {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

std::atomic<bool> stop_requested{false};  // constant-initialised; a signal handler sets it
static_assert(std::atomic<bool>::is_always_lock_free, "must be safe in a signal handler");

double Seconds(Clock::time_point from) {
  return std::chrono::duration<double>(Clock::now() - from).count();
}

double Ratio(int64_t raw, int64_t stored) {
  return stored > 0 ? static_cast<double>(raw) / static_cast<double>(stored) : 0;
}

// The log file of a run, while it lasts.
class LogFile {
 public:
  explicit LogFile(const std::string& path) { Log::SetFile(path); }
  ~LogFile() { Log::SetFile(""); }
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;
};

}  // namespace

class Trainer::Impl {
 public:
  Impl(const ConfigFile& file, const TrainerOptions& options);

  TrainingResult Train();
  EvaluationResult Evaluate();
  void SetObserver(std::function<void(const Progress&)> observer) { observer_ = observer; }

 private:
  void HoldDirectory();
  void CheckWhatIsLeft() const;
  void OpenRun();
  void OpenDirectory();
  void Announce();

  void RunIteration();
  void StartEpochIfNew(int64_t iteration);
  UpdatePlan PlanOf(int64_t iteration) const;
  Audit AuditOf(int64_t iteration) const;
  void Count(const StepResult& sum, double seconds, double wait_seconds);
  void UpdateProgress(double learning_rate);
  void LogIteration(bool audited);

  void EvaluateIfPending();
  void CheckpointIfDue();
  bool Finished() const { return stop_requested || timetable().IsLast(position_.iteration); }
  TrainingResult Result();

  const Timetable& timetable() const { return parts_.timetable(); }

  const TrainerOptions options_;
  TrainingParts parts_;
  const config::Config& config_;
  const ScheduleOptions schedule_;
  std::string checkpoint_;  // resumed from; "" = started anew
  TrainingPosition position_;
  std::function<void(const Progress&)> observer_ = [](const Progress&) {};

  // While training:
  std::unique_ptr<UpdateStep> step_;
  std::unique_ptr<RunDirectory> directory_;  // null: nothing is written
  std::unique_ptr<LogFile> log_file_;
  RunLog log_;
  Progress progress_;
  Throughput throughput_, interval_throughput_;
  EvaluationResult evaluation_;
  int64_t epoch_ = -1;  // that the loader is in
  int64_t raw_bytes_ = 0, stored_bytes_ = 0, offloaded_bytes_ = 0;
  bool updated_ = true;     // by the last iteration
  bool is_best_ = false;    // so was the last evaluation, and its checkpoint is still to be kept
  int64_t owed_epoch_ = 0;  // whose numbered checkpoint is still to be written; 0 = none
};

// ------------------------------------------------------------------------------------------ set-up

Trainer::Impl::Impl(const ConfigFile& file, const TrainerOptions& options)
    : options_(options),
      parts_(file, options),
      config_(parts_.config()),
      schedule_(MakeScheduleOptions(config_.schedule(), config_.optimizer())) {
  if (!options_.weights.empty()) parts_.LoadWeights(FindCheckpoint(options_.weights));
  if (options_.resume.empty()) return;
  checkpoint_ = FindCheckpoint(options_.resume);
  HoldDirectory();
  position_ = parts_.Restore(checkpoint_, options_.evaluate_only);
}

// The folder of the checkpoint, when that is a run's and no other was asked for, in which training
// will go on; before the checkpoint is read, which another process may be about to replace.
void Trainer::Impl::HoldDirectory() {
  const fs::path folder = fs::path(checkpoint_).parent_path();
  const bool same = options_.run_directory.empty() ||
                    fs::weakly_canonical(options_.run_directory) == fs::weakly_canonical(folder);
  const bool writes = options_.write_run && !options_.evaluate_only;
  if (writes && same && fs::exists(folder / "config.textproto"))
    directory_ = std::make_unique<RunDirectory>(RunDirectory::Resume(folder.string()));
}

void Trainer::Impl::OpenDirectory() {
  if (directory_ != nullptr) return directory_->CutAfter(position_.iteration);
  const std::string path = options_.run_directory.empty()
                               ? NewRunPath(config_.training().output(), RunName(config_))
                               : options_.run_directory;
  directory_ = std::make_unique<RunDirectory>(RunDirectory::Create(path));
}

void Trainer::Impl::CheckWhatIsLeft() const {
  if (position_.iteration > timetable().iterations()) {
    throw Error(ErrorKind::USAGE,
                StrCat("this training has done ", position_.iteration,
                       " iterations, more than the ", timetable().iterations(), " asked for"),
                checkpoint_, "to go on give --epochs or --iterations for all of them together");
  }
  const int64_t dumped = options_.dump_at_iteration;
  if (dumped > 0 && (dumped <= position_.iteration || dumped > timetable().iterations())) {
    throw Error(ErrorKind::USAGE,
                StrCat("iteration ", dumped, " is not among those to be trained, ",
                       position_.iteration + 1, " to ", timetable().iterations()),
                "--at-iteration");
  }
}

void Trainer::Impl::OpenRun() {
  CheckWhatIsLeft();
  step_ = std::make_unique<UpdateStep>(parts_.executor(), parts_.optimizer(), parts_.average());
  if (options_.write_run) {
    OpenDirectory();
    directory_->Write("config.textproto", parts_.file().ToText());
    if (!options_.environment.empty())
      directory_->Append("environment.jsonl", options_.environment);
    log_file_ = std::make_unique<LogFile>(directory_->File("log.txt"));
    log_ = RunLog(directory_.get(), position_.iteration);
  }
  UpdateProgress(PlanOf(std::max<int64_t>(1, position_.iteration)).learning_rate);
  Announce();
}

void Trainer::Impl::Announce() {
  const Plan& plan = parts_.executor().plan();
  LogInfo(StrCat(RunName(config_), ": ", parts_.executor().graph().TrainedParameters(),
                 " parameters, batch ", plan.batch, ", ", timetable().iterations(),
                 " iterations of ", timetable().iterations_per_epoch(), " an epoch, on ",
                 parts_.backend().name()));
  const config::Data& data = config_.data();
  const bool made_up = data.kind() == config::Data::SYNTHETIC;
  LogInfo(StrCat("data: ", made_up ? "made up" : data.train(), ", ",
                 parts_.loader().samples_per_epoch(), " images an epoch, ",
                 parts_.test_data().size(), " to test"));
  LogInfo(StrCat("saved values: ", FormatBytes(plan.raw_saved_bytes()), " raw, about ",
                 FormatBytes(plan.predicted_saved_bytes()), " stored; predicted peak ",
                 FormatBytes(plan.peak.use.total()), " at ", plan.peak.where));
  if (directory_ != nullptr) LogInfo("run directory: " + directory_->path());
  if (!checkpoint_.empty())
    LogInfo(StrCat("resumed from ", checkpoint_, " after iteration ", position_.iteration));
  if (timetable().IsLast(position_.iteration) && !position_.evaluation_pending)
    LogWarning("all iterations are done; for more give --epochs or --iterations");
}

// ------------------------------------------------------------------------------------------ the
// loop

TrainingResult Trainer::Impl::Train() {
  OpenRun();
  if (position_.evaluation_pending) {
    EvaluateIfPending();
    CheckpointIfDue();
  }
  while (!Finished()) {
    RunIteration();
    if (timetable().EvaluationDueAfter(position_.iteration)) position_.evaluation_pending = true;
    EvaluateIfPending();
    CheckpointIfDue();
  }
  return Result();
}

void Trainer::Impl::RunIteration() {
  const UpdatePlan plan = PlanOf(position_.iteration + 1);
  StartEpochIfNew(plan.iteration);
  const bool dumps = plan.iteration == options_.dump_at_iteration;
  if (dumps) parts_.executor().DumpActivations(options_.dump_activations);
  const double waited = parts_.loader().wait_seconds();
  const Clock::time_point start = Clock::now();
  const UpdateOutcome outcome = step_->Run(parts_.loader(), plan);
  const double seconds = Seconds(start);
  if (dumps) parts_.executor().DumpActivations("");
  position_.iteration = plan.iteration;
  updated_ = outcome.updated;
  Count(outcome.sum, seconds, parts_.loader().wait_seconds() - waited);
  UpdateProgress(plan.learning_rate);
  LogIteration(plan.audit != Audit::NONE);
  observer_(progress_);
}

void Trainer::Impl::StartEpochIfNew(int64_t iteration) {
  const int64_t epoch = timetable().EpochOf(iteration);
  if (epoch == epoch_) return;
  parts_.loader().StartEpoch(epoch, timetable().FirstBatchOf(iteration));
  epoch_ = epoch;
}

UpdatePlan Trainer::Impl::PlanOf(int64_t iteration) const {
  UpdatePlan plan = timetable().PlanOf(iteration);
  plan.learning_rate =
      LearningRate(schedule_, timetable().EpochsAfter(iteration - 1), timetable().epochs());
  plan.audit = AuditOf(iteration);
  return plan;
}

Audit Trainer::Impl::AuditOf(int64_t iteration) const {
  const config::Activations& activations = config_.activations();
  const auto& at = activations.audit_at();
  if (std::find(at.begin(), at.end(), iteration) != at.end()) return Audit::ALL;
  const int64_t every = activations.audit_every();
  return every > 0 && iteration % every == 0 ? Audit::ONE : Audit::NONE;
}

void Trainer::Impl::Count(const StepResult& sum, double seconds, double wait_seconds) {
  if (sum.samples > 0) position_.meters.Add(sum.loss, sum.samples, sum.top1, sum.top5);
  throughput_.Add(sum.samples, seconds, wait_seconds);
  interval_throughput_.Add(sum.samples, seconds, wait_seconds);
  raw_bytes_ = parts_.executor().raw_saved_bytes();
  stored_bytes_ = parts_.executor().stored_bytes();
  offloaded_bytes_ = parts_.executor().offloaded_bytes();
}

void Trainer::Impl::UpdateProgress(double learning_rate) {
  MemoryLedger& ledger = parts_.backend().allocator().ledger();
  progress_.iteration = position_.iteration;
  progress_.iterations = timetable().iterations();
  progress_.epoch = timetable().EpochsAfter(position_.iteration);
  progress_.epochs = timetable().epochs();
  progress_.loss = position_.meters.recent_loss();
  progress_.top1 = position_.meters.recent_top1();
  progress_.learning_rate = learning_rate;
  progress_.images_per_second = throughput_.images_per_second();
  progress_.iterations_per_second = throughput_.iterations_per_second();
  progress_.wait_fraction = throughput_.wait_fraction();
  progress_.ratio = Ratio(raw_bytes_, stored_bytes_);
  progress_.skipped_records = parts_.loader().skipped_records();
  progress_.now = ledger.Current();
  progress_.peak = ledger.Peak();
  progress_.eta_seconds = throughput_.eta_seconds(timetable().iterations() - position_.iteration);
}

void Trainer::Impl::LogIteration(bool audited) {
  const int64_t every = config_.activations().log_every();
  const bool due = every > 0 && position_.iteration % every == 0, last = Finished();
  if (due || audited || last) log_.Activations(position_.iteration, parts_.executor().records());
  if (due || last) log_.Memory(parts_.executor());
  if (due || position_.iteration == 1) {
    for (const std::string& note : parts_.executor().TakeNotes()) LogInfo(note);
  }
  if (!due) return;
  log_.Interval(progress_, position_.meters.interval(), interval_throughput_, raw_bytes_,
                stored_bytes_, offloaded_bytes_);
  position_.meters.interval().Reset();
  interval_throughput_.Reset();
}

void Trainer::Impl::EvaluateIfPending() {
  if (!position_.evaluation_pending) return;
  const EvaluationResult result = Evaluate();
  if (result.samples == 0) return;  // asked to stop; made up for when resumed
  position_.evaluation_pending = false;
  evaluation_ = result;
  log_.Evaluation(progress_, result);
  LogInfo(StrCat("iteration ", position_.iteration, ": test loss ", FormatFixed(result.loss, 4),
                 ", top-1 ", FormatFixed(result.top1, 2), "%, top-5 ", FormatFixed(result.top5, 2),
                 "%"));
  if (!std::isfinite(result.loss) || result.top1 <= position_.best_top1) return;
  position_.best_top1 = result.top1;
  is_best_ = true;
}

EvaluationResult Trainer::Impl::Evaluate() {
  std::vector<Tensor>& parameters = parts_.executor().parameters();
  if (parts_.average() != nullptr) parts_.average()->Swap(parameters);
  if (!options_.evaluate_only) parts_.loader().ReleaseUnused();
  const EvaluationResult result = EvaluateNetwork(parts_.executor(), parts_.test_data(),
                                                  MakeLoaderOptions(config_, Split::TEST),
                                                  [] { return stop_requested.load(); });
  if (parts_.average() != nullptr) parts_.average()->Swap(parameters);
  return result;
}

// A state that has just failed is not worth keeping in place of the last good one, unless an
// evaluation has shown that it is better; a numbered checkpoint then comes with the next update.
void Trainer::Impl::CheckpointIfDue() {
  if (directory_ == nullptr) return;
  if (timetable().CheckpointDueAfter(position_.iteration)) {
    owed_epoch_ = std::llround(timetable().EpochsAfter(position_.iteration));
  }
  const bool due = owed_epoch_ > 0 || is_best_ || Finished();
  if (!due || !(updated_ || is_best_)) return;
  const CheckpointFolder folder(directory_->path(), config_.training().keep_checkpoints());
  folder.SaveLast(parts_.Tensors(), parts_.State(position_), parts_.backend());
  if (is_best_) folder.KeepAsBest();
  if (owed_epoch_ > 0) folder.KeepAsEpoch(owed_epoch_);
  is_best_ = false;
  owed_epoch_ = 0;
}

TrainingResult Trainer::Impl::Result() {
  TrainingResult result;
  result.iterations = position_.iteration;
  result.loss = position_.meters.recent_loss();
  result.evaluation = evaluation_;
  result.best_top1 = std::max(0.0, position_.best_top1);
  result.images_per_second = throughput_.images_per_second();
  result.wait_fraction = throughput_.wait_fraction();
  result.peak = parts_.backend().allocator().ledger().Peak();
  result.resident_peak_bytes = PeakResidentBytes();
  result.raw_saved_bytes = raw_bytes_;
  result.stored_bytes = stored_bytes_;
  result.offloaded_bytes = offloaded_bytes_;
  result.skipped_records = progress_.skipped_records;
  result.interrupted = stop_requested.exchange(false);
  if (directory_ != nullptr) result.run_directory = directory_->path();
  log_file_.reset();
  return result;
}

// --------------------------------------------------------------------------------------------
// public

Trainer::Trainer(const ConfigFile& config, const TrainerOptions& options)
    : impl_(std::make_unique<Impl>(config, options)) {}

Trainer::~Trainer() = default;

void Trainer::SetObserver(std::function<void(const Progress&)> observer) {
  impl_->SetObserver(std::move(observer));
}

TrainingResult Trainer::Train() { return impl_->Train(); }

EvaluationResult Trainer::Evaluate() { return impl_->Evaluate(); }

void Trainer::RequestStop() { stop_requested = true; }

}  // namespace encke
