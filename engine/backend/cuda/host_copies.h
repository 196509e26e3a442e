// Small tensors on their way to the host while the stream goes on.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "compression/cuda/cuda_check.h"
#include "engine/backend/backend.h"

namespace encke::cuda {

// They arrive in page-locked memory, which serves again once a copy is gone: nothing is allocated
// in the steady state. Not thread-safe; outlives the copies.
class HostCopies {
 public:
  explicit HostCopies(cudaStream_t stream) : stream_(stream) {}
  HostCopies(const HostCopies&) = delete;
  HostCopies& operator=(const HostCopies&) = delete;

  // Backend::StartCopyToHost.
  std::unique_ptr<HostCopy> Start(const std::vector<Tensor>& tensors);

 private:
  struct Place {
    explicit Place(int64_t size) : memory(size), bytes(size) {}
    PinnedBytes memory;
    int64_t bytes;
    CodecEvent arrived;
  };
  class Copy;

  std::unique_ptr<Place> TakePlace(int64_t bytes);

  cudaStream_t stream_;
  std::vector<std::unique_ptr<Place>> free_;
};

}  // namespace encke::cuda
