#include "engine/train/optimizer.h"

#include <algorithm>
#include <cmath>

namespace encke {

Optimizer::Optimizer(const std::vector<ParameterSpec>& parameters, Backend& backend,
                     const OptimizerOptions& options)
    : specs_(parameters), backend_(backend), options_(options), velocity_(parameters.size()) {
  if (options_.momentum == 0) return;
  for (size_t i = 0; i < specs_.size(); ++i) {
    if (!specs_[i].trained()) continue;
    velocity_[i] =
        Tensor::Empty(backend_.allocator(), specs_[i].shape, DType::F32, MemoryCategory::OPTIMIZER);
    backend_.Fill(velocity_[i], 0);
  }
}

// min(1, limit / norm), as PyTorch's clip_grad_norm_.
float Optimizer::ClippingScale(const std::vector<Tensor>& gradients) const {
  if (options_.clip_norm <= 0) return 1;
  double squares = 0;
  for (size_t i = 0; i < specs_.size(); ++i)
    if (specs_[i].trained()) squares += backend_.SumOfSquares(gradients[i]);
  return static_cast<float>(std::min(1.0, options_.clip_norm / (std::sqrt(squares) + 1e-6)));
}

void Optimizer::Step(const std::vector<Tensor>& parameters, const std::vector<Tensor>& gradients,
                     double learning_rate) {
  SgdOptions step;
  step.learning_rate = static_cast<float>(learning_rate);
  step.momentum = options_.momentum;
  step.nesterov = options_.nesterov;
  step.gradient_scale = ClippingScale(gradients);
  for (size_t i = 0; i < specs_.size(); ++i) {
    if (!specs_[i].trained()) continue;
    const bool decays =
        options_.decay_bias_and_norm || specs_[i].role == ParameterSpec::Role::WEIGHT;
    step.weight_decay = decays ? options_.weight_decay : 0;
    backend_.SgdStep(step, parameters[i], gradients[i], velocity_[i]);
  }
}

}  // namespace encke
