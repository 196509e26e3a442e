// Checkpoints: one safetensors file that holds all it takes to go on exactly where training stood.
//
//   layer1.0.conv1.weight                      parameters and statistics, torchvision's names and
//                                              layouts
//   optimizer.velocity.layer1.0.conv1.weight   momentum
//   ema.layer1.0.conv1.weight                  moving average
//   __metadata__ "encke"                       TrainingState as JSON
//
// One file, one rename: weights and state can never be of different moments.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/train/safetensors.h"

namespace encke {

// A tensor and how the file sees it. Its elements are stored in the order n, c, h, w of
// tensor.shape(); `shape` is what the file calls that (e.g. {out, in} for {out, h, w, c}).
struct CheckpointTensor {
  std::string name;
  std::vector<int64_t> shape;
  Tensor tensor;  // F32
};

struct TrainingState {
  int64_t iteration = 0;            // done
  double epoch = 0;                 // likewise, for people
  int64_t samples_per_epoch = 0;    // of the data set: another number means other data
  double best_top1 = -1;            // below 0: not evaluated yet
  bool evaluation_pending = false;  // due, but interrupted
  int64_t average_updates = 0;      // WeightAverage::updates
  int64_t audits = 0;               // Executor::audits
  std::string controller;           // BoundController::Save
  std::string codings = "{}";       // SavedCodings::Save
  std::string codecs = "{}";        // CodecChoice::Save
  double assumed_ratio = 0;         // Executor::assumed_ratio; 0: not known
  std::string meters;               // TrainingMeters::Save
  std::string config;               // as text
};

// Error(DATA) when the file cannot be written; what was there under `path` is then still there.
void SaveCheckpoint(const std::string& path, const std::vector<CheckpointTensor>& tensors,
                    const TrainingState& state, Backend& backend);

class Checkpoint {
 public:
  // Error(DATA): missing, truncated, damaged.
  explicit Checkpoint(const std::string& path);

  const std::string& path() const { return reader_.path(); }
  // False for a file of weights that others wrote.
  bool has_state() const { return has_state_; }
  const TrainingState& state() const { return state_; }
  bool Has(const std::string& name) const { return reader_.tensors().count(name) > 0; }

  // Fills the tensors. Nothing is touched unless all of them are in the file with the same shape;
  // otherwise Error(CONFIG) names the first that differ, with both shapes.
  void Load(const std::vector<CheckpointTensor>& tensors, Backend& backend) const;

 private:
  SafetensorsReader reader_;
  bool has_state_ = false;
  TrainingState state_;
};

// The checkpoint that `resume` means: the file itself, or `last.safetensors` in a run directory.
// Error(DATA) when there is none.
std::string FindCheckpoint(const std::string& resume);

// last.safetensors, best.safetensors and the numbered ones of a run.
class CheckpointFolder {
 public:
  // Keeps the `keep` newest numbered checkpoints.
  CheckpointFolder(const std::string& folder, int keep) : folder_(folder), keep_(keep) {}

  void SaveLast(const std::vector<CheckpointTensor>& tensors, const TrainingState& state,
                Backend& backend) const;
  // The last one saved under another name as well (a link, not a copy).
  void KeepAsBest() const;
  void KeepAsEpoch(int64_t epoch) const;

 private:
  std::string Last() const { return folder_ + "/last.safetensors"; }
  std::string folder_;
  int keep_;
};

}  // namespace encke
