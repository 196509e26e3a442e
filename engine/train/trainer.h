// The training loop: data, executor, optimizer, schedule, evaluation, logs and checkpoints put
// together from a config.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/config/config.h"
#include "engine/core/device.h"
#include "engine/core/memory.h"

namespace encke {

// What the command line adds to the config.
struct TrainerOptions {
  Device device;
  std::string resume;   // checkpoint (folder or .safetensors) or run directory to go on from; "" =
                        // start anew
  std::string weights;  // the same, to take the parameters and statistics from and start anew; "" =
                        // initialise them. REQUIRES: "" with `resume`
  std::string run_directory;     // "" = runs/<time>-<name>
  bool evaluate_only = false;    // for Evaluate alone: opens no training data, plans no training
  bool write_run = true;         // false: no run directory, no checkpoints (compare, bench)
  std::string dump_activations;  // folder for .npy files of the saved values
  int64_t dump_at_iteration = 0;
  std::string environment;  // a line for environment.jsonl: what the run runs on; "" = none
};

// Where training stands; passed to the observer after every iteration.
struct Progress {
  int64_t iteration = 0;   // done so far, from 1
  int64_t iterations = 0;  // to do in all
  double epoch = 0;        // fraction included
  double epochs = 0;
  double loss = 0;  // running mean over the last iterations
  double top1 = 0;  // likewise, in percent
  double learning_rate = 0;
  double images_per_second = 0;
  double iterations_per_second = 0;
  double wait_fraction = 0;     // of the time, spent waiting for data
  double ratio = 0;             // raw / stored of the last iteration
  int64_t skipped_records = 0;  // broken training images, since the start or the resume
  MemoryUse now, peak;
  double eta_seconds = 0;
};

struct EvaluationResult {
  double loss = 0;
  double top1 = 0, top5 = 0;  // percent
  int64_t samples = 0;
};

struct TrainingResult {
  int64_t iterations = 0;
  double loss = 0;              // mean of the training loss over the last 50 iterations
  EvaluationResult evaluation;  // the last one; samples = 0: none was made
  double best_top1 = 0;
  double images_per_second = 0;  // mean; evaluation, checkpoints and, where there are more, the
                                 // first iterations left out
  double wait_fraction = 0;
  MemoryUse peak;  // ledger
  int64_t resident_peak_bytes = 0;
  int64_t raw_saved_bytes = 0, stored_bytes = 0;  // of the last iteration
  int64_t offloaded_bytes = 0;                    // of stored_bytes, in the offload file
  int64_t skipped_records = 0;                    // as in Progress
  bool interrupted = false;                       // by SIGINT or SIGTERM, after a checkpoint
  std::string run_directory;
};

class Trainer {
 public:
  // Opens the data, builds and plans the network; nothing is written yet. Every mistake that can be
  // found before the first step is found here.
  Trainer(const ConfigFile& config, const TrainerOptions& options);
  ~Trainer();

  // Called after every iteration, from the training thread.
  void SetObserver(std::function<void(const Progress&)> observer);

  // Trains to the end, or until RequestStop(). Error(NUMERIC) when the loss is not finite twice in
  // a row (once is met by an iteration in raw mode): names the layer where it first appeared; the
  // last checkpoint is intact.
  TrainingResult Train();
  // Evaluates the test split with the parameters as they are (resumed or fresh).
  EvaluationResult Evaluate();

  // Async-signal-safe: finish the iteration, write a checkpoint, return.
  static void RequestStop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace encke
