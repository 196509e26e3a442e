// A warp of the GPU, and a crew, with the members of those emulated (compression/cuda/warp.h).
//
// REQUIRES: 32 lanes of one warp take part, in x; a block's size is a multiple of 32.
#pragma once

#include "compression/cuda/warp.h"

namespace encke::cuda {

class DeviceWarp {
 public:
  // The lane's own value, whichever lane's is asked for: inside of a phase a lane asks for its own.
  template <typename T>
  struct PerLane {
    T value;
    __device__ __forceinline__ T& operator[](int) { return value; }
    __device__ __forceinline__ const T& operator[](int) const { return value; }
  };

  template <typename Body>
  __device__ __forceinline__ void Each(const Body& body) {
    __syncwarp();
    body(Lane());
    __syncwarp();
  }

  template <typename Body>
  __device__ __forceinline__ void Locally(const Body& body) {
    body(Lane());
  }

  __device__ __forceinline__ uint32_t Ballot(const PerLane<bool>& values) {
    return __ballot_sync(kAll, values.value);
  }

  __device__ __forceinline__ bool All(const PerLane<bool>& values) {
    return __all_sync(kAll, values.value);
  }

  template <typename T>
  __device__ __forceinline__ PerLane<T> Shuffle(const PerLane<T>& values,
                                                const PerLane<int>& sources) {
    return {__shfl_sync(kAll, values.value, sources.value)};
  }
  template <typename T>
  __device__ __forceinline__ T Broadcast(const PerLane<T>& values, int source) {
    return __shfl_sync(kAll, values.value, source);
  }

  template <int kWidth = kWarpLanes>
  __device__ __forceinline__ PerLane<uint32_t> SumBefore(const PerLane<uint32_t>& values) {
    uint32_t sum = values.value;
#pragma unroll
    for (int distance = 1; distance < kWidth; distance *= 2) {
#ifdef __CUDA_ARCH__
      // A shuffle that says itself whether there is such a lane.
      constexpr int kGroups = (kWarpLanes - kWidth) << 8;
      asm volatile(
          "{\n .reg .pred inside;\n .reg .u32 other;\n"
          " shfl.sync.up.b32 other|inside, %0, %1, %2, 0xffffffff;\n"
          " @inside add.u32 %0, %0, other;\n}"
          : "+r"(sum)
          : "r"(distance), "r"(kGroups));
#else
      const uint32_t other = __shfl_up_sync(kAll, sum, distance, kWidth);
      if (Lane() % kWidth >= distance) sum += other;
#endif
    }
    return {sum - values.value};
  }
  // Both lanes of a pair add the same two numbers, so all lanes get the first one's sum.
  template <int kWidth, typename T>
  __device__ __forceinline__ PerLane<T> SumOfGroup(const PerLane<T>& values) {
    T sum = values.value;
    for (int distance = kWidth / 2; distance > 0; distance /= 2) {
      sum += __shfl_xor_sync(kAll, sum, distance);
    }
    return {sum};
  }
  template <int kWidth>
  __device__ __forceinline__ PerLane<uint32_t> OrOfGroup(const PerLane<uint32_t>& values) {
    uint32_t bits = values.value;
    for (int distance = kWidth / 2; distance > 0; distance /= 2) {
      bits |= __shfl_xor_sync(kAll, bits, distance);
    }
    return {bits};
  }
  template <typename T>
  __device__ __forceinline__ T Sum(const PerLane<T>& values) {
    return SumOfGroup<kWarpLanes>(values).value;
  }
  __device__ __forceinline__ uint32_t Sum(const PerLane<uint32_t>& values) {
    return __reduce_add_sync(kAll, values.value);
  }

  __device__ __forceinline__ uint64_t FetchAdd(uint64_t* counter, uint64_t value) {
    unsigned long long before = 0;
    if (Lane() == 0) before = atomicAdd(reinterpret_cast<unsigned long long*>(counter), value);
    return __shfl_sync(kAll, before, 0);
  }

 private:
  static constexpr unsigned kAll = 0xffffffffu;
  static __device__ __forceinline__ int Lane() {
    return static_cast<int>(threadIdx.x % kWarpLanes);
  }
};

// A block of kCrewWarps warps as EmulatedCrew.
class DeviceCrew {
 public:
  using Warp = DeviceWarp;

  template <typename Body>
  __device__ __forceinline__ void EachWarp(const Body& body) {
    DeviceWarp warp;
    body(warp, static_cast<int>(threadIdx.x / kWarpLanes));
    __syncthreads();
  }
};

}  // namespace encke::cuda
