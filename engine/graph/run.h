// One pass through a plan's program. Internal to engine/graph.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "engine/graph/arena_ledger.h"
#include "engine/graph/executor.h"

namespace encke {

class Executor::Run {
 public:
  Run(Executor* executor, const Plan& plan, const Batch& batch, Phase phase, int64_t iteration,
      const TrainOptions& options);
  ~Run();  // forgets what is left in the pool

  // All steps; ends before backward when the loss is not finite.
  StepResult Execute();
  // Forward only, up to the first node with an output that is not finite: its name, "" if there is
  // none.
  std::string FindNonFinite();

 private:
  using Kind = PlanStep::Kind;

  Tensor TensorOf(int buffer, const Shape& shape, DType dtype) const;
  Tensor ValueTensor(int buffer, int value) const;
  std::vector<Tensor> ValueTensors(const std::vector<int>& buffers,
                                   const std::vector<int>& values) const;
  std::vector<Tensor> StateTensors(const PlanStep& step) const;
  std::vector<Tensor> ParameterTensors(const std::vector<Tensor>& all, const Node& node) const;
  std::vector<float> HostFloats(const Tensor& tensor) const;
  uint64_t RandomStream(int node) const;

  void Execute(const PlanStep& step);
  void MakeInput(const PlanStep& step);
  void Forward(const PlanStep& step);
  void Store(const PlanStep& step);
  void StoreMask(const PlanStep& step);
  void Pack(const PlanStep& step);
  void Unpack(const PlanStep& step);
  void Fetch(const PlanStep& step);
  void Backward(const PlanStep& step);
  void AddGradients(const PlanStep& step);
  BackwardContext MakeBackwardContext(const PlanStep& step) const;

  CodecOptions BoundOf(const SavedValue& saved, const PlanStep& step, ActivationRecord* record);
  std::vector<float> NormBounds(const SavedValue& saved, const PlanStep& step, double most) const;
  void RecordStates(const PlanStep& step);
  ActivationRecord& NewRecord(const std::string& layer, int value, const std::string& kind);
  void DumpValue(const SavedValue& saved, const Tensor& tensor, const CodecOptions& options) const;

  int SavedReadBy(
      int node) const;      // the saved value whose error reaches the node's weight gradient
  int NextAudited() const;  // node whose turn it is
  bool Audits(const SavedValue& saved) const;
  void KeepExact(const SavedValue& saved, const Tensor& tensor);
  void AuditNode(const PlanStep& step, int saved_index);
  std::vector<float> WeightGradient(int node, BackwardContext context) const;
  GradientStatistics OutputStatistics(const PlanStep& step, int saved_index) const;
  void Observe(const PlanStep& step, GradientStatistics statistics);

  bool LossIsFinite() const;
  StepResult Result() const;

  Executor& executor_;
  Backend& backend_;
  Graph& graph_;
  const Plan& plan_;
  const Batch& batch_;
  Phase phase_;
  int64_t iteration_;
  TrainOptions options_;
  ArenaLedger ledger_;
  bool refresh_ = false;                // gather statistics for the controller
  int audited_node_ = -1;               // Audit::ONE
  std::set<int> stored_;                // saved values now in the pool
  std::map<int, Tensor> exact_;         // by value, audits only
  std::map<int, int> record_of_saved_;  // saved -> records_
};

}  // namespace encke
