// Memory of a GPU, and host memory that it copies from at full speed.
#pragma once

#include <cstdint>
#include <mutex>

#include "engine/backend/cuda/block_cache.h"
#include "engine/core/memory.h"

namespace encke::cuda {

// Freed blocks are kept for later requests; they, and what rounding adds, are charged as UNUSED, so
// that the ledger's total is what the device really holds. They are given back before an allocation
// fails. A block may be handed out while the stream still works on its former contents: whoever
// gets it must use it on the same stream.
class CudaAllocator : public Allocator {
 public:
  // Starts with a limit that leaves `kept_free` bytes of what is free now to others (the libraries'
  // own needs above all).
  CudaAllocator(int index, int64_t free_bytes, int64_t kept_free);
  ~CudaAllocator() override;
  Device device() const override { return {Device::Type::CUDA, index_}; }

 protected:
  void* DoAllocate(int64_t bytes) override;
  void DoFree(void* data, int64_t bytes) override;
  void DoTrim() override;

 private:
  const int index_;
  std::mutex mutex_;
  BlockCache cache_;
};

// Page-locked memory. Charged to a ledger of its own: it is the host's.
class PinnedAllocator : public Allocator {
 public:
  Device device() const override { return {}; }

 protected:
  void* DoAllocate(int64_t bytes) override;
  void DoFree(void* data, int64_t bytes) override;
};

}  // namespace encke::cuda
