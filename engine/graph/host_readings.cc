#include "engine/graph/host_readings.h"

#include "engine/core/error.h"

namespace encke {

void HostReadings::Begin(int key, const std::vector<Tensor>& tensors) {
  Reading reading{tensors, backend_->StartCopyToHost(tensors), {}};
  ENCKE_CHECK(readings_.emplace(key, std::move(reading)).second, key);
}

const std::vector<std::vector<float>>& HostReadings::Of(int key) {
  Reading& reading = readings_.at(key);
  if (reading.copy == nullptr) return reading.floats;
  const auto* from = static_cast<const float*>(reading.copy->Wait());
  for (const Tensor& tensor : reading.tensors) {
    reading.floats.emplace_back(from, from + tensor.elements());
    from += tensor.elements();
  }
  reading.copy.reset();
  return reading.floats;
}

}  // namespace encke
