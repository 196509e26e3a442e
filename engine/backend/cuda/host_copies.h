// What goes to and from the host by way of page-locked memory: small tensors, while the stream goes
// on.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "compression/cuda/cuda_check.h"
#include "engine/backend/backend.h"

namespace encke::cuda {

// The memory serves again once a copy is gone: nothing is allocated in the steady state. Not
// thread-safe; outlives the copies.
class HostCopies {
 public:
  explicit HostCopies(cudaStream_t stream) : stream_(stream) {}
  HostCopies(const HostCopies&) = delete;
  HostCopies& operator=(const HostCopies&) = delete;

  // Backend::StartCopyToHost.
  std::unique_ptr<HostCopy> Start(const std::vector<Tensor>& tensors);
  // The same of device memory that is no tensor.
  std::unique_ptr<HostCopy> StartBytes(const void* from, int64_t bytes);
  // Waits for the stream.
  void ToHost(const Tensor& tensor, void* to);
  // `from` may change afterwards. Waits for the stream where the tensor is large, or many others
  // are still on their way.
  void FromHost(const void* from, const Tensor& tensor);

 private:
  struct Place {
    explicit Place(int64_t size) : memory(size), bytes(size) {}
    PinnedBytes memory;
    int64_t bytes;
    CodecEvent arrived;  // whichever way
  };
  class Copy;
  struct Piece {
    const void* from;
    int64_t bytes;
  };

  std::unique_ptr<HostCopy> StartPieces(const std::vector<Piece>& pieces);
  std::unique_ptr<Place> TakePlace(int64_t bytes);
  void TakeBack();

  cudaStream_t stream_;
  std::vector<std::unique_ptr<Place>> free_;
  std::deque<std::unique_ptr<Place>> leaving_;  // for the device, oldest first
};

}  // namespace encke::cuda
