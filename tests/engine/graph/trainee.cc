#include "tests/engine/graph/trainee.h"

#include <cmath>

#include "engine/core/rng.h"

namespace encke {

Batch MakeBatch(Allocator& allocator, const Shape& sample, int64_t count, int classes) {
  Batch batch;
  batch.images = Tensor::Empty(allocator, sample.WithBatch(count), DType::U8, MemoryCategory::DATA);
  batch.labels = Tensor::Empty(allocator, {count, 1, 1, 1}, DType::I32, MemoryCategory::DATA);
  Rng rng(3, RngStream::TEST);
  for (int64_t i = 0; i < batch.images.elements(); ++i) {
    batch.images.data<uint8_t>()[i] = static_cast<uint8_t>(rng.Below(256));
  }
  for (int64_t n = 0; n < count; ++n) {
    batch.labels.data<int32_t>()[n] = static_cast<int32_t>(rng.Below(classes));
  }
  return batch;
}

std::vector<float> Flatten(const std::vector<Tensor>& tensors) {
  std::vector<float> all;
  for (const Tensor& tensor : tensors) {
    if (!tensor.defined()) continue;
    all.insert(all.end(), tensor.data<float>(), tensor.data<float>() + tensor.elements());
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

}  // namespace encke
