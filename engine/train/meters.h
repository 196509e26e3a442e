// Running figures of training: what the progress line and the logs show.
#pragma once

#include <cstdint>
#include <deque>
#include <string>

namespace encke {

// Loss and accuracy of the samples seen since the last Reset.
class SampleMeter {
 public:
  void Add(double loss_sum, int64_t samples, int64_t top1, int64_t top5);
  void Reset() { *this = SampleMeter(); }

  int64_t samples() const { return samples_; }
  double loss() const { return Mean(loss_sum_); }                         // 0 when nothing was seen
  double top1() const { return 100 * Mean(static_cast<double>(top1_)); }  // percent
  double top5() const { return 100 * Mean(static_cast<double>(top5_)); }

 private:
  friend class TrainingMeters;
  double Mean(double sum) const { return samples_ > 0 ? sum / static_cast<double>(samples_) : 0; }

  double loss_sum_ = 0;
  int64_t samples_ = 0, top1_ = 0, top5_ = 0;
};

// The figures that must survive a checkpoint for a resumed run to log what the uninterrupted one
// would have: the current log interval, and the last iterations.
class TrainingMeters {
 public:
  static constexpr int kWindow = 50;  // iterations

  void Add(double loss_sum, int64_t samples, int64_t top1, int64_t top5);

  SampleMeter& interval() { return interval_; }
  double recent_loss() const;  // mean over the last kWindow iterations
  double recent_top1() const;

  // As JSON text; doubles survive bit for bit. Restore: Error(DATA) when it is no such text.
  std::string Save() const;
  void Restore(const std::string& state);

 private:
  struct Iteration {
    double loss = 0, top1 = 0;  // means over its samples
  };
  SampleMeter interval_;
  std::deque<Iteration> window_;
};

// Images a second, wait for data, and time left. The first iterations after the start (caches, page
// faults, library set-up) are left out as soon as there are others.
class Throughput {
 public:
  static constexpr int kLeftOut = 3;

  // One iteration took `seconds`, of which `wait_seconds` went into waiting for data.
  void Add(int64_t images, double seconds, double wait_seconds);

  double images_per_second() const;
  double iterations_per_second() const;
  double wait_seconds() const { return wait_seconds_; }
  double wait_fraction() const;
  double eta_seconds(int64_t iterations_left) const;
  void Reset();  // starts a new interval; the first iterations are still those after the start

 private:
  int64_t seen_ = 0;  // iterations since construction
  int64_t iterations_ = 0, images_ = 0;
  double seconds_ = 0, wait_seconds_ = 0;
};

}  // namespace encke
