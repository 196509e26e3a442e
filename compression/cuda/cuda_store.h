// The pool of saved values on a GPU: encoded on a stream of its own, beside the computation.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>
#include <string>

#include "compression/activation_store.h"

namespace encke::cuda {

struct CudaStoreOptions {
  cudaStream_t compute = nullptr;  // where the values' producers and readers run
  int64_t chunk_bytes = 16 << 10;  // raw bytes of one chunk, about: enough chunks for all warps
  int64_t limit_bytes = 0;         // the most that arenas on the device may hold; 0 = no limit
  bool spill = false;              // values for which they have no room are offloaded
  // Whether the caller calls BeforeOverwrite for every value. Then the computation goes on while a
  // value is encoded; otherwise it waits, on the device, at every Put.
  bool overlap = false;
};

// Codecs "fast", "dense" and "raw" (the same without error); others are Error(DEVICE). Where
// values are offloaded the encoder writes to page-locked memory of the host; a stream of its own
// copies back what is to be decoded. What fits into borrowed space even if it should not shrink
// goes there, the rest to arenas of the pool's own. Tensors are F32 or BF16 and in memory of
// `allocator`, whose device must be current.
//
// Neither Put nor Get waits for the device, but for these: the first Put of an id; a Put for which
// neither borrowed space nor an arena surely has room, which first waits for what values before it,
// the oldest first, really took; a Put with other bounds than the last of its id, if that one is
// not yet encoded; the first Put after an iteration that needed more than one arena; and a Get or
// Prefetch of an offloaded value which is not yet encoded, or larger than any before. Nor does the
// pool take memory, of either side, or make events once values and places are as they were. A
// StoredValue tells of the last time that its id was put, so that bounds follow statistics one
// iteration late. A broken chunk is noticed by one of the calls after the Release of its value.
std::unique_ptr<ActivationStore> NewCudaStore(Allocator& allocator,
                                              const CudaStoreOptions& options);
// What that pool needs free of its arena, besides what it holds, to encode a value of this shape.
int64_t CudaRoomBytes(const Shape& value, DType dtype);
// What it takes of WORKSPACE to encode and decode values of this shape on a device with so many
// multiprocessors.
int64_t CudaScratchBytes(const Shape& value, DType dtype, const std::string& codec,
                         int multiprocessors);
// What it takes of WORKSPACE to bring back values of this shape where they are offloaded:
// two of them, as stored. Lossy ones are assumed to take an eighth; `exact` ones, whole.
int64_t CudaStagingBytes(const Shape& value, DType dtype, Tier tier, bool exact);

}  // namespace encke::cuda
