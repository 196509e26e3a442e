// What the codec's .cu files share: which warp a thread is in.
#pragma once

#include "compression/cuda/codec_kernels.h"
#include "compression/cuda/device_warp.cuh"

namespace encke::cuda {

constexpr int kBlockWarps = 4;
constexpr int kBlockThreads = kBlockWarps * kWarpLanes;

__device__ __forceinline__ int WarpInBlock() { return static_cast<int>(threadIdx.x) / kWarpLanes; }
__device__ __forceinline__ uint64_t WarpInGrid() {
  return uint64_t{blockIdx.x} * kBlockWarps + WarpInBlock();
}

inline unsigned BlocksFor(uint64_t warps) {
  return static_cast<unsigned>((warps + kBlockWarps - 1) / kBlockWarps);
}

// A NibbleTable in shared memory. To be filled by all threads of a block.
template <typename Entry>
__device__ void Fill(NibbleTable* table, const Entry& entry) {
  for (unsigned i = threadIdx.x; i < NibbleTable::kEntries; i += kBlockThreads) {
    table->entries[i] = entry(i / 16, i % 16);
  }
  __syncthreads();
}
__device__ inline void FillDeposited(NibbleTable* table) {
  Fill(table,
       [](unsigned active, unsigned packed) { return NibbleTable::Deposited(active, packed); });
}
__device__ inline void FillExtracted(NibbleTable* table) {
  Fill(table, [](unsigned active, unsigned bits) { return NibbleTable::Extracted(active, bits); });
}

// The tables of one launch where lanes read them at random without waiting for long: in shared
// memory, whose variables may have no constructor.
struct SharedTables {
  alignas(DenseTables) uint32_t words[sizeof(DenseTables) / 4];

  // To be called by all threads of a block.
  __device__ const DenseTables& Load(const DenseTables* from) {
    const auto* source = reinterpret_cast<const uint32_t*>(from);
    for (unsigned i = threadIdx.x; i < sizeof(DenseTables) / 4; i += kBlockThreads) {
      words[i] = source[i];
    }
    __syncthreads();
    return *reinterpret_cast<const DenseTables*>(words);
  }
};

}  // namespace encke::cuda
