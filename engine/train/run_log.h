// What a run writes about itself while it trains (doc/formats.md lists the fields):
//   metrics.jsonl      an object each log interval, and one each evaluation
//   summary.csv        a row each evaluation
//   activations.jsonl  an object for each saved value, each log interval and audit
//   memory.csv         a row each log interval: bytes by category at the peak so far
#pragma once

#include <cstdint>
#include <vector>

#include "engine/graph/executor.h"
#include "engine/train/meters.h"
#include "engine/train/run_directory.h"
#include "engine/train/trainer.h"

namespace encke {

class RunLog {
 public:
  // `directory` may be null: then nothing is written. It must outlive the log.
  explicit RunLog(RunDirectory* directory) : directory_(directory) {}

  // `interval` and `throughput` are of the iterations since the last one logged.
  void Interval(const Progress& progress, const SampleMeter& interval, const Throughput& throughput,
                int64_t raw_bytes, int64_t stored_bytes, int64_t offloaded_bytes);
  void Evaluation(const Progress& progress, const EvaluationResult& result);
  void Activations(int64_t iteration, const std::vector<ActivationRecord>& records);

 private:
  RunDirectory* directory_;
};

}  // namespace encke
