// An exponential moving average of the parameters, which evaluates better than the last ones.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/backend/backend.h"

namespace encke {

// Averages statistics (running mean, variance) along with the weights they belong to. Memory is
// charged as OPTIMIZER. The backend must outlive it.
class WeightAverage {
 public:
  // Starts as a copy of `parameters`. REQUIRES: 0 < decay <= 1.
  WeightAverage(const std::vector<Tensor>& parameters, Backend& backend, double decay);

  // After an optimizer step. Early on the decay is lower, (1 + updates) / (10 + updates), so that
  // the initial weights are soon forgotten.
  void Update(const std::vector<Tensor>& parameters);

  // Exchanges the averaged tensors with the parameters; a second call undoes the first.
  void Swap(std::vector<Tensor>& parameters) { average_.swap(parameters); }

  const std::vector<Tensor>& average() const { return average_; }
  int64_t updates() const { return updates_; }
  void set_updates(int64_t updates) { updates_ = updates; }  // when resumed

 private:
  Backend& backend_;
  double decay_;
  int64_t updates_ = 0;
  std::vector<Tensor> average_;
};

}  // namespace encke
