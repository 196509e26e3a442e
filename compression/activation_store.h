// The pool of saved values: everything that backward will read, from forward until its last reader.
//
// A value is kept in one of three tiers: the tensor itself (its memory stays taken); encoded chunk
// by chunk, in parallel, into slabs of the pool's own; or encoded into a file. After the latter two
// the tensor's memory is free for others.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "compression/codec.h"
#include "engine/core/tensor.h"

namespace encke {

struct LearntCoding;  // compression/value_coding.h

enum class Tier {
  IN_PLACE,   // as it is, not encoded
  MEMORY,     // encoded, in slabs
  OFFLOADED,  // encoded, in the offload file, every chunk with a checksum; on a GPU in page-locked
              // memory of the host, without
};

// How a value is to be kept. The first three do not matter IN_PLACE.
struct PutOptions {
  std::string codec;  // a name of CodecNames()
  CodecOptions coding;
  Tier tier = Tier::MEMORY;
  std::string name = "";  // for messages; "" = the id
  // How far, in bytes, the owner of borrowed space reaches into it until the value is Released;
  // -1: keep out of it.
  int64_t floor = -1;
  // What the pool learns of a value (centers, code tables), to be shared by slices of it that have
  // all else of these options in common, dtype and channels: the first Put fills it, later ones use
  // it. Counted once. nullptr: the value comes alone. Pools may do without.
  std::shared_ptr<const ValueCoding>* learnt = nullptr;
  // What an earlier Put of this value has learnt, with the same codec and channels and under bounds
  // near these: serves again, and nothing is learnt. nullptr: learn. Pools may do without.
  std::shared_ptr<const LearntCoding> prior = nullptr;
};

// What was stored of one value.
struct StoredValue {
  std::string codec;  // "raw" IN_PLACE
  int64_t raw_bytes = 0;
  int64_t stored_bytes = 0;     // headers, chunk tables and alignment included, in every tier
  int64_t offloaded_bytes = 0;  // the part of stored_bytes that is offloaded
  EncodeStatistics statistics;  // IN_PLACE, where elements are not looked at, only their number
  double encode_seconds = 0;
};

class ActivationStore {
 public:
  virtual ~ActivationStore() = default;

  // Keeps `value` under `id`, which must be free and means the same value in every iteration, since
  // a pool may learn from one for the next. Unless IN_PLACE, the pool does not refer to the tensor
  // any more after the call. Error(MEMORY), which names the value, when the pool's limit would be
  // passed and spilling is not allowed; also when the machine's memory or the file's disk is full.
  // An Error leaves nothing of the value behind.
  virtual StoredValue Put(int id, const Tensor& value, const PutOptions& options) = 0;
  // Samples [first, first + count) of value `id`: IN_PLACE the kept tensor itself, otherwise
  // `scratch`, filled. REQUIRES: `id` was Put and not Released. Error(CORRUPTION), which names
  // value and chunk, when what was kept has changed and the codec sees it; with a checksum it sees
  // every change.
  virtual Tensor Get(int id, int64_t first, int64_t count, const Tensor& scratch) = 0;
  virtual void Release(int id) = 0;

  // Encoded values may from now on lie in the part of `space` that PutOptions::floor leaves free,
  // instead of in memory of the pool's own, not counted by limit_bytes; shares ownership. nullptr:
  // no more. REQUIRES: no value is kept. Pools may do without.
  virtual void Borrow(std::shared_ptr<Buffer> /*space*/) {}
  // Values kept at a time will take about so much memory, what they need while they are encoded
  // included: a pool may make room for that at once. REQUIRES: no value is kept.
  virtual void Expect(int64_t /*bytes*/) {}

  // For pools that work beside the computation, on a GPU; the others have done everything when Put
  // and Get return.
  // Get with the same arguments will follow: begins to fill `scratch`, which is free from now on.
  virtual void Prefetch(int /*id*/, int64_t /*first*/, int64_t /*count*/,
                        const Tensor& /*scratch*/) {}
  // Computation issued from now on may overwrite the tensor that was Put as `id`.
  virtual void BeforeOverwrite(int /*id*/) {}

  virtual int64_t stored_bytes() const = 0;     // of the values kept now
  virtual int64_t offloaded_bytes() const = 0;  // of these, offloaded
};

struct StoreOptions {
  int64_t chunk_bytes =
      256 << 10;  // raw bytes of one chunk, about; whole samples where they are smaller than this
  int64_t limit_bytes = 0;     // the most that slabs may hold; 0 = no limit
  bool spill = false;          // past the limit what comes is offloaded
  bool offload = false;        // Tier::OFFLOADED will be asked for
  std::string offload_folder;  // where the file is, when there is one; "" = $TMPDIR, or /tmp
};

// A pool with slabs from `allocator`: what is in them is charged as SAVED, their free part as
// UNUSED. What is in the file is not charged. Error(DATA) when a file is wanted and cannot be made.
std::unique_ptr<ActivationStore> NewCompressedStore(Allocator& allocator,
                                                    const StoreOptions& options);
// What that pool takes of WORKSPACE to encode and decode values of this shape with this codec, for
// all threads.
int64_t StoreScratchBytes(const Shape& value, DType dtype, Tier tier, const std::string& codec);

}  // namespace encke
