// The pool of saved values: everything that backward will read, from forward until its last reader.
//
// Two pools behind one interface. The RAW pool keeps the tensor itself (its memory stays taken).
// The ENCKE pool encodes it chunk by chunk, in parallel, into slabs of its own, after which the
// tensor's memory is free for others.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "compression/codec.h"
#include "engine/core/tensor.h"

namespace encke {

// What was stored of one value.
struct StoredValue {
  std::string codec;
  int64_t raw_bytes = 0;
  int64_t stored_bytes = 0;     // headers, chunk tables and alignment included
  EncodeStatistics statistics;  // in a RAW pool, which does not look at elements, only their number
  double encode_seconds = 0;
};

class ActivationStore {
 public:
  virtual ~ActivationStore() = default;

  // Keeps `value` under `id`, which must be free. After the call an ENCKE pool does not refer to
  // the tensor any more. Error(MEMORY) when the pool's limit would be passed.
  virtual StoredValue Put(int id, const Tensor& value, const std::string& codec,
                          const CodecOptions& options) = 0;
  // Samples [first, first + count) of value `id`: either the kept tensor itself or `scratch`,
  // filled. `scratch` may be undefined only in a pool that KeepsTensors(). REQUIRES: `id` was Put
  // and not Released. Error(CORRUPTION), which names the chunk, when what was kept has changed and
  // the codec sees it; with CodecOptions::checksum it sees every change.
  virtual Tensor Get(int id, int64_t first, int64_t count, const Tensor& scratch) = 0;
  virtual void Release(int id) = 0;

  virtual bool KeepsTensors() const = 0;
  virtual int64_t stored_bytes() const = 0;       // of the values kept now
  virtual int64_t peak_stored_bytes() const = 0;  // since the last ResetPeak
  virtual int64_t held_bytes() const = 0;         // slabs, whether used or not; 0 in a RAW pool
  virtual void ResetPeak() = 0;
};

struct StoreOptions {
  int64_t chunk_bytes =
      256 << 10;  // raw bytes of one chunk, about; whole samples where they are smaller than this
  int64_t limit_bytes = 0;  // the most that slabs may hold; 0 = no limit
};

// Keeps tensors as they are.
std::unique_ptr<ActivationStore> NewRawStore();
// Keeps them encoded, in slabs from `allocator`: what is stored is charged as SAVED, the slabs'
// free part as UNUSED.
std::unique_ptr<ActivationStore> NewCompressedStore(Allocator& allocator,
                                                    const StoreOptions& options);

}  // namespace encke
