// Stochastic gradient descent with momentum.
#pragma once

#include <vector>

#include "engine/backend/backend.h"
#include "layers/layer.h"

namespace encke {

struct OptimizerOptions {
  float momentum = 0.9f;
  bool nesterov = false;
  float weight_decay = 0;
  bool decay_bias_and_norm = true;  // false: weight_decay applies to weights alone
  float clip_norm = 0;              // largest norm of all gradients together; 0 = no limit
};

// Owns the momentum of every trained parameter, charged as OPTIMIZER. The backend must outlive it.
class Optimizer {
 public:
  Optimizer(const std::vector<ParameterSpec>& parameters, Backend& backend,
            const OptimizerOptions& options);

  // One update of all trained parameters. Both vectors are indexed as the specs were; statistics
  // are left alone.
  void Step(const std::vector<Tensor>& parameters, const std::vector<Tensor>& gradients,
            double learning_rate);

  // By parameter index, zero at first; undefined for statistics, and for all when momentum is 0.
  const std::vector<Tensor>& velocity() const { return velocity_; }

 private:
  float ClippingScale(const std::vector<Tensor>& gradients) const;

  std::vector<ParameterSpec> specs_;
  Backend& backend_;
  OptimizerOptions options_;
  std::vector<Tensor> velocity_;
};

}  // namespace encke
