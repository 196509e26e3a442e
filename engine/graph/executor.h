// Runs a graph: one training iteration (forward, backward) or an evaluation, following the plan's
// program.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "compression/activation_store.h"
#include "compression/bound_controller.h"
#include "data/loader.h"
#include "engine/backend/backend.h"
#include "engine/graph/codec_choice.h"
#include "engine/graph/graph.h"
#include "engine/graph/memory_trace.h"
#include "engine/graph/plan.h"
#include "engine/graph/saved_codings.h"

namespace encke {

struct ExecutorOptions {
  PlanOptions plan;
  ControllerOptions controller;
  StoreOptions store;
  std::vector<float> mean = {0.0f}, std = {1.0f};  // of the input, per channel (one entry: for all)
  uint64_t seed = 1;
};

// What one iteration (or evaluation batch) gave.
struct StepResult {
  double loss = 0;  // sum over samples
  int64_t samples = 0;
  int64_t top1 = 0, top5 = 0;  // samples whose label is among the 1 / 5 largest logits
  bool finite = true;          // loss and gradients
};

struct Derivation;  // block_end_bounds.h

// One saved value in one iteration: a line of activations.jsonl. Fields that do not apply are
// negative.
struct ActivationRecord {
  std::string layer;     // that made the value
  std::string consumer;  // audits: the conv or fc layer whose weight gradient was compared
  int value = 0;
  std::string
      kind;  // "relu", "norm_input", "value", "mask", "state"; "audit": of one reader, no bytes
  Shape shape;
  std::string codec;
  int64_t raw_bytes = 0, stored_bytes = 0;
  int64_t offloaded_bytes = 0;   // the part of stored_bytes that is in the offload file
  double error_bound = -1;       // mean over channels where it differs
  double max_abs_error = -1;     // audits
  double error_over_bound = -1;  // audits: at the most, each element's by its channel's bound
  double nonzero_fraction = -1;
  double predicted_sigma = -1, measured_sigma = -1, bias = -1;
  double correction = -1;  // audits: the factor in predicted_sigma that probes have taught
  double tolerance = -1;
  double encode_us = 0, decode_us = 0;
};

// Also compute the exact weight gradient, which needs the exact values as well, and compare.
enum class Audit {
  NONE,
  ONE,  // of one conv or fc layer, the next in turn
  ALL,  // of all of them: holds every saved value twice, so do not measure the peak then
};

struct TrainOptions {
  bool accumulate = false;     // add to the gradients of the iterations before
  float loss_scale_count = 0;  // samples the loss is averaged over; 0 = those of the batch
  bool exact = false;          // keep every value without error (after a non-finite iteration)
  Audit audit = Audit::NONE;
  int64_t update = 0;  // optimizer step that the pass belongs to, the controller's clock; 0 = each
                       // pass is one
};

// REQUIRES: the backend outlives it. Used by one thread.
class Executor {
 public:
  Executor(Graph graph, Backend& backend, const ExecutorOptions& options);
  ~Executor();

  // Draws initial parameters (a function of the seed and each parameter's name).
  void InitializeParameters();

  // Plans for training with this batch and allocates; called again, plans anew. Error(MEMORY) when
  // the plan needs more than the allocator's limit, with the largest batch that would fit.
  void Prepare(int64_t batch);
  // Plans anew, under a memory limit, for saved values of another ratio (PlanOptions), say after a
  // Train() that ended in MemoryLimitError. False, and nothing has changed, where there is no
  // limit, nothing is compressed, or no plan keeps the limit.
  bool PrepareForRatio(double ratio);
  double assumed_ratio() const { return options_.plan.assumed_ratio; }

  // Forward and backward, pass number `iteration` (1, 2, ...; chooses dropout masks and, unless
  // options.update does, the controller's phase). The batch may be smaller than the prepared one.
  // Gradients are then in gradients().
  StepResult Train(const Batch& batch, int64_t iteration, const TrainOptions& options = {});
  // Forward in evaluation phase, saving nothing.
  StepResult Evaluate(const Batch& batch);

  const Graph& graph() const { return graph_; }
  Graph& graph() { return graph_; }
  const Plan& plan() const { return plan_; }
  Backend& backend() { return backend_; }
  BoundController& controller() { return *controller_; }
  ActivationStore& store() { return *store_; }

  // By parameter index; gradients of statistics are undefined tensors.
  std::vector<Tensor>& parameters() { return parameters_; }
  std::vector<Tensor>& gradients() { return gradients_; }
  // The optimizer's momentum buffers, by parameter index, the controller's reference, and their
  // coefficient; until set, the gradients are.
  void SetVelocity(std::vector<Tensor> velocity, double momentum) {
    velocity_ = std::move(velocity);
    momentum_ = momentum;
  }

  // Lines for people: inputs of batch norms that the last Train derived from what their block
  // makes, or kept, otherwise than at the last call, and why.
  std::vector<std::string> TakeNotes();
  // What the last Train kept, in forward order.
  const std::vector<ActivationRecord>& records() const { return records_; }
  // What the last Train without audit held, step by step of plan().
  const MemoryTrace& memory_trace() const { return memory_trace_; }
  int64_t raw_saved_bytes() const;  // of the last Train, summed over its records
  int64_t stored_bytes() const;     // likewise
  int64_t offloaded_bytes() const;  // likewise
  // After a Train with a non-finite result: the first node whose output was not finite, "" if none
  // was found.
  std::string FirstNonFiniteNode(const Batch& batch, int64_t iteration);
  // Audits of one layer made so far, which say whose turn is next; part of a checkpoint.
  int64_t audits() const { return audits_; }
  void set_audits(int64_t audits) { audits_ = audits; }
  SavedCodings& codings() { return codings_; }
  CodecChoice& codecs() { return codecs_; }
  // Copies the saved values of the next Train to `folder` as .npy files; "" = no more.
  void DumpActivations(const std::string& folder) { dump_folder_ = folder; }

 private:
  class Run;  // one pass through a plan's program

  int64_t PlanLimit() const;  // what the allocator's limit leaves for a plan; 0: there is none
  void Adopt(Plan plan);      // to train by
  void RemoveDumps();         // of the last Train
  void NoteDerivation(const std::string& layer, const Derivation& derivation);
  void ReserveArena(int64_t bytes);
  // Where the run notes what it holds; null for evaluations, audits and searches for a fault.
  MemoryTrace* StartTrace(Phase phase, int64_t iteration, const TrainOptions& options);
  void ReserveProbes(int64_t bytes);
  // The batch where the backend computes: a copy, unless that is the host.
  Batch OnDevice(const Batch& batch);
  void TakeStatistics();  // remembers running statistics, in case the iteration fails
  void RestoreStatistics();
  bool GradientsFinite();
  int64_t SumOf(int64_t ActivationRecord::*bytes) const;  // over records()

  Graph graph_;
  Backend& backend_;
  ExecutorOptions options_;
  int64_t held_before_;   // by the backend itself
  Plan plan_;             // of training
  Plan evaluation_plan_;  // for the largest batch evaluated so far
  std::unique_ptr<ActivationStore> store_;
  SavedCodings codings_;
  CodecChoice codecs_;
  std::unique_ptr<BoundController> controller_;
  double momentum_ = 0;
  std::shared_ptr<Buffer> arena_;
  std::shared_ptr<Buffer> probe_memory_;                 // plan_.probe_bytes
  std::shared_ptr<Buffer> batch_images_, batch_labels_;  // OnDevice
  std::vector<Tensor> parameters_, gradients_, velocity_;
  std::vector<Tensor> statistics_;  // by parameter index, as they were before Train
  struct Decision {
    bool derived = false;
    std::optional<bool> reported;  // `derived` at the last TakeNotes
    std::string reason;
  };
  std::map<std::string, Decision> decisions_;  // by layer, inputs that could be derived
  int64_t audits_ = 0;                         // made so far, one at a time
  std::vector<ActivationRecord> records_;
  MemoryTrace memory_trace_;
  std::string dump_folder_;
  std::vector<std::string> dumped_;  // files, by the last Train
};

}  // namespace encke
