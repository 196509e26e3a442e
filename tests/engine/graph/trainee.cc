#include "tests/engine/graph/trainee.h"

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "engine/core/rng.h"

namespace encke {

Batch MakeBatch(Allocator& allocator, const Shape& sample, int64_t count, int classes,
                uint64_t seed) {
  Batch batch;
  batch.images = Tensor::Empty(allocator, sample.WithBatch(count), DType::U8, MemoryCategory::DATA);
  batch.labels = Tensor::Empty(allocator, {count, 1, 1, 1}, DType::I32, MemoryCategory::DATA);
  Rng rng(seed, RngStream::TEST);
  for (int64_t i = 0; i < batch.images.elements(); ++i) {
    batch.images.data<uint8_t>()[i] = static_cast<uint8_t>(rng.Below(256));
  }
  for (int64_t n = 0; n < count; ++n) {
    batch.labels.data<int32_t>()[n] = static_cast<int32_t>(rng.Below(classes));
  }
  return batch;
}

PlanOptions InSlices(int64_t samples) {
  PlanOptions options;
  options.slice_bytes = samples > 0 ? 1 : 0;
  options.least_slice = samples;
  return options;
}

float* ParameterNamed(Executor& executor, const std::string& name) {
  const std::vector<Parameter>& parameters = executor.graph().parameters;
  const auto found =
      std::find_if(parameters.begin(), parameters.end(),
                   [&](const Parameter& parameter) { return parameter.name == name; });
  ENCKE_CHECK(found != parameters.end(), name);
  return executor.parameters()[found - parameters.begin()].data<float>();
}

std::vector<float> Flatten(const std::vector<Tensor>& tensors) {
  std::vector<float> all;
  for (const Tensor& tensor : tensors) {
    if (!tensor.defined()) continue;
    all.insert(all.end(), tensor.data<float>(), tensor.data<float>() + tensor.elements());
  }
  return all;
}

std::vector<float> Download(Backend& backend, const std::vector<Tensor>& tensors) {
  std::vector<float> all;
  for (const Tensor& tensor : tensors) {
    if (!tensor.defined()) continue;
    all.resize(all.size() + tensor.elements());
    backend.CopyToHost(tensor, all.data() + all.size() - tensor.elements());
  }
  return all;
}

double RelativeDifference(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(static_cast<double>(a[i]) - b[i], 2);
    norm += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(difference / norm);
}

void ExpectNoiseAsPredicted(const ActivationRecord& audit) {
  EXPECT_GT(audit.measured_sigma, 0.5 * audit.predicted_sigma) << audit.consumer;
  EXPECT_LT(audit.measured_sigma, 2.0 * audit.predicted_sigma) << audit.consumer;
}

}  // namespace encke
