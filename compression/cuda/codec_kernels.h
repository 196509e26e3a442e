// The codec's kernels, launched. Nothing here waits for the device.
#pragma once

#include <cuda_runtime_api.h>

#include "compression/cuda/stored_value.h"
#include "engine/core/dtype.h"

namespace encke::cuda {

// How a value is coded; everything in device memory.
struct DeviceCoding {
  DType dtype;
  bool mask;
  const UniformTable* tables;  // period + 64 entries
  uint32_t period;
  const DenseTables* dense;  // null: FAST
};

// Scratch memory that DENSE needs to keep `warps` warps busy with chunks of this size.
uint64_t DenseScratchBytes(const Chunking& chunking, int warps);
// Warps that encode or decode DENSE at a time on this device: more would not be faster.
int DenseWarps(int multiprocessors, const Chunking& chunking);

// Encodes `value` into the view's arena and sums up its record. `scratch`: DenseScratchBytes for
// `warps`; null for FAST.
void LaunchEncode(const StoredValueView& view, const void* value, const DeviceCoding& coding,
                  uint8_t* scratch, int warps, cudaStream_t stream);

// Elements [first, end) of the value, which lie in chunks [first_chunk, end_chunk), to `out`.
struct DecodeSpan {
  void* out;
  int64_t first, end;
  uint64_t first_chunk, end_chunk;
};
void LaunchDecode(const StoredValueView& view, const DecodeSpan& span, const DeviceCoding& coding,
                  uint8_t* scratch, int warps, cudaStream_t stream);

}  // namespace encke::cuda
