// Everything that training is made of, put together from a config: device, data, network,
// optimizer; and its state, to and from checkpoints.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/loader.h"
#include "engine/config/config.h"
#include "engine/graph/executor.h"
#include "engine/train/checkpoint.h"
#include "engine/train/ema.h"
#include "engine/train/meters.h"
#include "engine/train/optimizer.h"
#include "engine/train/timetable.h"
#include "engine/train/trainer.h"

namespace encke {

// What changes while training and is not a tensor.
struct TrainingPosition {
  int64_t iteration = 0;  // done
  double best_top1 = -1;
  bool evaluation_pending = false;  // due after `iteration`, but not made yet
  TrainingMeters meters;
};

class TrainingParts {
 public:
  // Throws whatever is wrong with config, device, data or memory.
  TrainingParts(const ConfigFile& file, const TrainerOptions& options);

  const ConfigFile& file() const { return file_; }
  const config::Config& config() const { return file_.config(); }
  Backend& backend() { return *backend_; }
  Executor& executor() { return *executor_; }
  const Dataset& test_data() const { return *test_data_; }
  // Of training; not there with TrainerOptions::evaluate_only.
  Loader& loader() { return *loader_; }
  const Timetable& timetable() const { return *timetable_; }
  Optimizer& optimizer() { return *optimizer_; }
  WeightAverage* average() { return average_.get(); }  // null without `ema`

  // Everything, or with `evaluate_only` the parameters alone. Error as Checkpoint, CheckSameConfig.
  TrainingPosition Restore(const std::string& path, bool evaluate_only);
  // The parameters and their statistics alone, of any checkpoint with such tensors. Error as
  // Checkpoint.
  void LoadWeights(const std::string& path);
  TrainingState State(const TrainingPosition& position);
  // What a checkpoint holds.
  std::vector<CheckpointTensor> Tensors() const;

 private:
  void PrepareTraining();
  void StartAverage();
  TrainingPosition RestoreState(const Checkpoint& checkpoint);

  ConfigFile file_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Executor> executor_;
  std::unique_ptr<Dataset> test_data_, training_data_;
  std::unique_ptr<Loader> loader_;
  std::unique_ptr<Timetable> timetable_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<WeightAverage> average_;
};

}  // namespace encke
