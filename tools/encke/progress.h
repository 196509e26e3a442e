// Shows how training goes: one rewritten line on a terminal, a plain line now and then elsewhere.
#pragma once

#include <chrono>
#include <string>

#include "engine/train/trainer.h"

namespace encke::cli {

// The line for `progress`, at most `width` columns: what matters least is left out first.
std::string ProgressLine(const Progress& progress, int width);

// Called after every iteration; takes the line away on destruction. Writes to standard error.
class ProgressPrinter {
 public:
  ProgressPrinter();
  ~ProgressPrinter();
  ProgressPrinter(const ProgressPrinter&) = delete;
  ProgressPrinter& operator=(const ProgressPrinter&) = delete;

  void Show(const Progress& progress);

 private:
  using Clock = std::chrono::steady_clock;

  bool terminal_;
  Clock::time_point next_;
};

}  // namespace encke::cli
