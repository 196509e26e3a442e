// The codec's kernels, launched. Nothing here waits for the device.
#pragma once

#include <cuda_runtime_api.h>

#include "compression/cuda/stored_value.h"

namespace encke::cuda {

// Scratch memory that DENSE needs to keep `warps` warps busy with chunks of this size.
uint64_t DenseScratchBytes(const Chunking& chunking, int warps);
// Warps that encode or decode DENSE at a time on this device: more would not be faster.
int DenseWarps(int multiprocessors, const Chunking& chunking);

// Encodes `value` into the view's arena and sums up its record. `scratch`: DenseScratchBytes for
// `warps`; null for FAST.
void LaunchEncode(const StoredValueView& view, const void* value, const DeviceCoding& coding,
                  uint8_t* scratch, int warps, cudaStream_t stream);

// Decodes what the span says.
void LaunchDecode(const StoredValueView& view, const DecodeSpan& span, const DeviceCoding& coding,
                  uint8_t* scratch, int warps, cudaStream_t stream);

}  // namespace encke::cuda
