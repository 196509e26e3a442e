// What a run writes about itself while it trains (doc/formats.md lists the fields):
//   metrics.jsonl      an object each log interval, and one each evaluation
//   summary.csv        a row each evaluation
//   activations.jsonl  an object for each saved value, each log interval and audit
//   memory.csv         a row each step of the newest logged iteration: bytes held, by category
//   events.out.tfevents.*  scalars for TensorBoard, each log interval and each evaluation
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/graph/executor.h"
#include "engine/train/meters.h"
#include "engine/train/run_directory.h"
#include "engine/train/tensorboard_writer.h"
#include "engine/train/trainer.h"

namespace encke {

class RunLog {
 public:
  // Writes nothing.
  RunLog() = default;
  // The directory must outlive the log. `resumed_at`: the iteration that the run goes on from, 0
  // when it is new.
  RunLog(RunDirectory* directory, int64_t resumed_at);

  // `interval` and `throughput` are of the iterations since the last one logged.
  void Interval(const Progress& progress, const SampleMeter& interval, const Throughput& throughput,
                int64_t raw_bytes, int64_t stored_bytes, int64_t offloaded_bytes);
  void Evaluation(const Progress& progress, const EvaluationResult& result);
  void Activations(int64_t iteration, const std::vector<ActivationRecord>& records);
  // What the executor's last traced iteration held, in place of what was written before.
  void Memory(const Executor& executor);

 private:
  RunDirectory* directory_ = nullptr;
  std::unique_ptr<TensorBoardWriter> events_;
};

}  // namespace encke
