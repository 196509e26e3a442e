#include "engine/train/ema.h"

#include <algorithm>

namespace encke {

WeightAverage::WeightAverage(const std::vector<Tensor>& parameters, Backend& backend, double decay)
    : backend_(backend), decay_(decay) {
  ENCKE_CHECK(decay > 0 && decay <= 1, decay);
  for (const Tensor& parameter : parameters) {
    average_.push_back(Tensor::Empty(backend.allocator(), parameter.shape(), parameter.dtype(),
                                     MemoryCategory::OPTIMIZER));
    backend.Copy(parameter, average_.back());
  }
}

void WeightAverage::Update(const std::vector<Tensor>& parameters) {
  ++updates_;
  const double early = (1.0 + updates_) / (10.0 + updates_);
  const float decay = static_cast<float>(std::min(decay_, early));
  for (size_t i = 0; i < parameters.size(); ++i)
    backend_.UpdateAverage(decay, parameters[i], average_[i]);
}

}  // namespace encke
