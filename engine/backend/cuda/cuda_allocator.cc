#include "engine/backend/cuda/cuda_allocator.h"

#include <algorithm>

#include "engine/backend/cuda/status.h"

namespace encke::cuda {
namespace {

constexpr int64_t kKeptAtMost = 32 << 20;  // of freed blocks, when as much is asked of the driver

// Null when the device has no more.
void* DeviceMalloc(int64_t bytes) {
  void* data = nullptr;
  const cudaError_t status = cudaMalloc(&data, static_cast<size_t>(bytes));
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // not to be found again by a later call
    return nullptr;
  }
  CheckCuda(status, "cudaMalloc");
  return data;
}

}  // namespace

CudaAllocator::CudaAllocator(int index, int64_t free_bytes, int64_t kept_free) : index_(index) {
  set_limit(std::max<int64_t>(free_bytes - kept_free, 1));
}

CudaAllocator::~CudaAllocator() { DoTrim(); }

void* CudaAllocator::DoAllocate(int64_t bytes) {
  const int64_t rounded = BlockCache::RoundedSize(bytes);
  bool trims = false;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (void* kept = cache_.Take(rounded)) {
      ledger().Discharge(MemoryCategory::UNUSED, bytes);  // what Allocate charges from here on
      return kept;
    }
    trims = rounded >= kKeptAtMost && cache_.bytes() >= kKeptAtMost;
  }
  // Not to hold both: the wait for the device that this costs is one at the beginning.
  if (trims) DoTrim();
  void* data = DeviceMalloc(rounded);
  if (data == nullptr) {
    DoTrim();
    data = DeviceMalloc(rounded);
  }
  if (data != nullptr) ledger().Charge(MemoryCategory::UNUSED, rounded - bytes);
  return data;
}

void CudaAllocator::DoFree(void* data, int64_t bytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  cache_.Put(data, BlockCache::RoundedSize(bytes));
  ledger().Charge(MemoryCategory::UNUSED, bytes);  // what ~Buffer discharges
}

void CudaAllocator::DoTrim() {
  std::lock_guard<std::mutex> lock(mutex_);
  ledger().Discharge(MemoryCategory::UNUSED, cache_.bytes());
  for (void* block : cache_.TakeAll()) ENCKE_CUDA_WARN(cudaFree(block));
}

void* PinnedAllocator::DoAllocate(int64_t bytes) {
  void* data = nullptr;
  const cudaError_t status =
      cudaMallocHost(&data, static_cast<size_t>(std::max<int64_t>(bytes, 1)));
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    return nullptr;
  }
  CheckCuda(status, "cudaMallocHost");
  return data;
}

void PinnedAllocator::DoFree(void* data, int64_t) { ENCKE_CUDA_WARN(cudaFreeHost(data)); }

}  // namespace encke::cuda
