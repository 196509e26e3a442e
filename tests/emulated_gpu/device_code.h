// What nvcc gives to .cu files, for the C++ compiler that compiles them for the emulated GPU:
// included before their first line (tests/emulated_gpu/emulated_library.bzl), which launches.py has
// freed of the one thing that is no C++.
#pragma once

#include <cuda_runtime.h>
#include <math.h>

#include <cstring>
#include <utility>

#include "tests/emulated_gpu/emulated_gpu.h"
#include "tests/emulated_gpu/grid.h"

#undef __global__
#undef __device__
#undef __host__
#undef __shared__
#undef __launch_bounds__
#define __global__
#define __device__
#define __host__
#define __shared__ static  // one block runs at a time
#define __launch_bounds__(...)

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

namespace encke::emulated_gpu {

// kernel<<<grid, block, shared_bytes, stream>>>(arguments) becomes
// Launcher(grid, block, shared_bytes, stream).Launch([](auto... a) { kernel(a...); }, arguments).
class Launcher {
 public:
  Launcher(dim3 grid, dim3 block, size_t /*shared_bytes*/, cudaStream_t stream)
      : grid_(grid), block_(block), stream_(stream) {}

  template <typename Kernel, typename... Arguments>
  void Launch(const Kernel& kernel, Arguments... arguments) const {
    Enqueue(stream_, [=, grid = grid_, block = block_] {
      RunGrid(grid, block, [&] { kernel(arguments...); });
    });
  }

 private:
  dim3 grid_, block_;
  cudaStream_t stream_;
};

// What the warp's lane source(own lane) gives.
template <typename T, typename Source>
T Shuffle(unsigned mask, T value, const char* operation, const Source& source) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  const Exchange exchange = ExchangeInWarp(mask, bits, operation);
  bits = exchange.At(source(exchange.lane));
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

}  // namespace encke::emulated_gpu

inline void __syncthreads() { encke::emulated_gpu::AwaitBlock(); }
inline void __syncwarp(unsigned mask = 0xffffffffu) {
  encke::emulated_gpu::ExchangeInWarp(mask, 0, "__syncwarp");
}

inline unsigned __ballot_sync(unsigned mask, int predicate) {
  const auto exchange = encke::emulated_gpu::ExchangeInWarp(mask, predicate != 0, "__ballot_sync");
  unsigned bits = 0;
  for (int i = 0; i < encke::emulated_gpu::kLanes; ++i) {
    bits |= static_cast<unsigned>(exchange.At(i)) << i;
  }
  return bits;
}

inline int __all_sync(unsigned mask, int predicate) {
  const auto exchange = encke::emulated_gpu::ExchangeInWarp(mask, predicate != 0, "__all_sync");
  bool all = true;
  for (int i = 0; i < encke::emulated_gpu::kLanes; ++i) all = all && exchange.At(i) != 0;
  return all;
}
inline unsigned __reduce_add_sync(unsigned mask, unsigned value) {
  const auto exchange = encke::emulated_gpu::ExchangeInWarp(mask, value, "__reduce_add_sync");
  unsigned sum = 0;
  for (int i = 0; i < encke::emulated_gpu::kLanes; ++i)
    sum += static_cast<unsigned>(exchange.At(i));
  return sum;
}

template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
  return encke::emulated_gpu::Shuffle(mask, value, "__shfl_sync", [=](int lane) {
    return (lane & ~(width - 1)) | (source & (width - 1));
  });
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned distance, int width = 32) {
  const int d = static_cast<int>(distance);
  return encke::emulated_gpu::Shuffle(mask, value, "__shfl_up_sync", [=](int lane) {
    return (lane & (width - 1)) >= d ? lane - d : lane;
  });
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = 32) {
  const int d = static_cast<int>(distance);
  return encke::emulated_gpu::Shuffle(mask, value, "__shfl_down_sync", [=](int lane) {
    return (lane & (width - 1)) + d < width ? lane + d : lane;
  });
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int bits) {
  return encke::emulated_gpu::Shuffle(mask, value, "__shfl_xor_sync",
                                      [=](int lane) { return lane ^ bits; });
}

// One thread runs at a time.
inline unsigned long long atomicAdd(unsigned long long* to, unsigned long long value) {
  const unsigned long long before = *to;
  *to += value;
  return before;
}
