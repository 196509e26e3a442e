// One pass through a plan's program. Internal to engine/graph.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/graph/arena_ledger.h"
#include "engine/graph/block_end_bounds.h"
#include "engine/graph/executor.h"
#include "engine/graph/host_readings.h"
#include "engine/graph/noise_patterns.h"
#include "engine/graph/norm_bounds.h"
#include "engine/graph/saved_slices.h"

namespace encke {

class Executor::Run {
 public:
  Run(Executor* executor, const Plan& plan, const Batch& batch, Phase phase, int64_t iteration,
      const TrainOptions& options);

  // All steps; ends before backward when the loss is not finite.
  StepResult Execute();
  // Forward only, up to the first node with an output that is not finite: its name, "" if there is
  // none.
  std::string FindNonFinite();

 private:
  using Kind = PlanStep::Kind;

  // Bytes of the arena.
  struct Range {
    int64_t begin = 0, end = 0;
  };
  // A tensor that a pool beside the computation may not have read yet.
  struct Unread {
    int saved;
    int64_t first;  // sample
    Range range;
  };

  // The samples that are worked on now.
  struct Now {
    int64_t first = 0, count = 0;
    bool continues = false;  // other slices of the section came before
    bool last = true;        // none comes after
  };
  // Memory for what patterns in a node's error give.
  struct PatternRoom {
    Tensor repeated;              // of Backend::FindRepeatedPixel, for all slices
    Tensor gradients[kPatterns];  // over the slices so far
    Tensor image;                 // a channel for each of the convolution's groups; of the slice
  };
  // A weight gradient with and without the error of what was saved, over the slices so far.
  struct AuditSums {
    std::vector<float> lossy, exact;
    double max_abs_error = 0, error_over_bound = 0;
    PatternRoom room;
  };
  // Of a node's output gradient, over the slices so far: squares and magnitudes are on their way.
  struct OutputSums {
    GradientStatistics statistics;
    std::vector<std::unique_ptr<HostCopy>> squares, magnitudes;
  };

  // Calls visit(step) for each step of each slice of each section, until it returns false.
  void ForEachStep(const std::function<bool(int)>& visit);
  bool RunSection(const PlanSection& section, const std::function<bool(int)>& visit);
  Slice SliceNow() const { return {now_.first, batch_.size(), now_.continues}; }
  Tensor Labels() const { return batch_.labels.Slice(now_.first, now_.count); }

  // What a buffer holds of the current slice.
  Tensor TensorOf(int buffer, const Shape& shape, DType dtype) const;
  Tensor BytesOf(int buffer) const;
  int64_t OffsetOf(int buffer) const;
  Range RangeOf(int buffer) const;
  Tensor ValueTensor(int buffer, int value) const;
  std::vector<Tensor> ValueTensors(const std::vector<int>& buffers,
                                   const std::vector<int>& values) const;
  std::vector<Tensor> StateTensors(const PlanStep& step) const;
  std::vector<Tensor> ParameterTensors(const std::vector<Tensor>& all, const Node& node) const;
  // Loss, labels and logits of some samples, on their way to the host.
  struct Scores {
    int64_t samples;
    std::unique_ptr<HostCopy> copy;
  };
  std::vector<float> HostFloats(const Tensor& tensor) const;
  uint64_t RandomStream(int node) const;

  void Execute(const PlanStep& step);
  void Perform(const PlanStep& step);
  void MakeInput(const PlanStep& step);
  void Forward(const PlanStep& step);
  ForwardContext MakeForwardContext(const PlanStep& step) const;
  void Store(const PlanStep& step);
  std::string CodecOf(int saved);
  void ObserveStored(int saved, const EncodeStatistics& statistics);
  void ObserveRebuilt(const PlanStep& step, const Tensor& tensor);
  void StoreMask(const PlanStep& step);
  void Pack(const PlanStep& step);
  void Unpack(const PlanStep& step);
  struct Brought {
    int64_t first, border, end;  // samples; those before `border` the buffer goes on to hold
  };
  Brought BroughtBy(const PlanStep& step) const;
  void Prefetch(const PlanStep& step);
  void Fetch(const PlanStep& step);
  void AwaitReaders(const PlanStep& step);
  void Backward(const PlanStep& step);
  void BackwardParameters(const PlanStep& step);
  void AddGradients(const PlanStep& step);
  Tensor StateTensor(const SavedState& state, int buffer) const;
  BackwardContext MakeBackwardContext(const PlanStep& step) const;

  // Whether an earlier step did, in one pass with its own, what this one is for.
  bool Fused(const PlanStep& step) const { return fuses_ && step.fused; }

  const CodecOptions& BoundOf(const PlanStep& step, ActivationRecord* record);
  CodecOptions ChooseBound(const SavedValue& saved, const PlanStep& step, ActivationRecord* record);
  CodecOptions UniformBound(const SavedValue& saved, double bound);
  void Introduce(const SavedValue& saved, const PlanStep& step);
  double SourcesNoiseBound(const SavedValue& saved, double asked) const;
  double GradientBound(const SavedValue& saved, ActivationRecord* record) const;
  void ReadScales();
  void ReadNorm(int node, const ForwardContext& context);
  std::vector<NormChannel> ChannelsOf(int norm);
  const Derivation& DerivationOf(int block_end);
  std::vector<float> DerivationLimits(const SavedValue& saved);
  void RecordDerived(const PlanStep& step, const Tensor& tensor);
  void RecordDerivedBounds();
  void Derive(const PlanStep& step);
  bool Skips(const PlanStep& step);
  void RecordStates(const PlanStep& step);
  ActivationRecord& RecordOf(int saved);
  ActivationRecord& RecordNamed(const std::string& layer, int value, const std::string& kind);
  ActivationRecord& NewRecord(const std::string& layer, int value, const std::string& kind);
  void DumpValue(const SavedValue& saved, const Tensor& tensor, const CodecOptions& options) const;

  int SavedReadBy(
      int node) const;      // the saved value whose error reaches the node's weight gradient
  int NextAudited() const;  // node whose turn it is
  bool Audits(const SavedValue& saved) const;
  void KeepExact(const SavedValue& saved, const Tensor& tensor);
  void AuditNode(const PlanStep& step, int saved_index);
  void FinishAudit(const PlanStep& step, int saved_index);
  std::vector<float> WeightGradient(int node, BackwardContext context) const;
  void AddOutputStatistics(const PlanStep& step, int saved_index);
  GradientStatistics OutputStatistics(int node) const;  // waits for them
  const PlannedProbe* DueProbe(int node) const;         // null: not in this iteration
  void KeepForProbes(int saved_index, const Tensor& tensor);
  void ProbeNode(const PlanStep& step, int saved_index);
  void CopyProbed(const PlannedProbe& probe, const Tensor& input) const;
  Tensor ProbeImage(const PlannedProbe& probe, int64_t channels) const;
  Tensor ProbedGradient(const PlannedProbe& probe, int which) const;
  PatternRoom RoomForPatterns(const PlannedProbe& probe) const;
  void AddGradientOf(const Tensor& input, int node, BackwardContext context,
                     const Tensor& gradient) const;
  void AddPatterns(const PlannedProbe& probe, BackwardContext context, const PatternRoom& room);
  std::vector<float> PatternsOf(int node);
  void AuditPatterns(const PlannedProbe& probe, const BackwardContext& context, PatternRoom* room);
  double CorrectionNow(int node, double formula, double bound);
  void FinishProbe(const PlannedProbe& probe, int saved_index);
  void ObserveProbe(const PlannedProbe& probe, int saved_index);
  void Observe(int node);
  double BatchesNow() const;

  void ReadScores();
  bool LossIsFinite();
  StepResult Result();
  void AddScores(const Scores& scores, StepResult* result) const;

  Executor& executor_;
  Backend& backend_;
  Graph& graph_;
  const Plan& plan_;
  const Batch& batch_;
  Phase phase_;
  int64_t iteration_;
  int64_t update_;  // the controller's clock
  TrainOptions options_;
  ArenaLedger ledger_;
  SavedSlices stored_;
  std::map<int, std::string> codec_of_;  // by saved value, of those whose policy is adaptive
  int64_t foreseen_ = 0;                 // bytes that these may take, of those stored so far
  Now now_;
  bool fuses_ = true;  // else each node runs by itself
  std::vector<Unread> unread_;
  int64_t probe_ = -1;                     // number of the probes due, -1: none
  bool refresh_ = false;                   // gather statistics for the controller
  int audited_node_ = -1;                  // Audit::ONE
  std::map<int, Tensor> exact_;            // by value, whole batch, audits only
  std::map<int, AuditSums> audits_;        // by node
  std::map<int, CodecOptions> bounds_;     // by saved value, for all slices alike
  std::map<int, Derivation> derivations_;  // by block end
  HostReadings scales_;                    // by block end: gamma
  HostReadings norms_;                     // by node: mean, 1 / std, gamma, beta
  HostReadings errors_;                    // by node: in the probed part of a weight gradient
  HostReadings patterns_;                  // by node: a weight gradient for each
  std::vector<Scores> scores_;             // of the slices so far
  std::vector<int> derived_;               // saved values whose record lacks a bound
  // By saved value, the uniform bound that would let as much noise through: of itself, and of what
  // is rebuilt from it.
  std::map<int, double> noise_bounds_, output_noise_bounds_;
  std::map<int, EncodeStatistics> encoded_;   // by saved value, slices so far
  std::map<int, OutputSums> output_sums_;     // by node
  std::map<int, int> record_of_saved_;        // saved -> records_
  std::map<std::string, int> record_named_;   // states and masks -> records_
  std::vector<std::function<void()>> later_;  // waits for what backward computes
};

}  // namespace encke
