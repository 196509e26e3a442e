// The GPU codec's code on an emulated warp: chunks encoded and decoded as the kernels do it.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "compression/codec.h"
#include "compression/cuda/rule_tables.h"
#include "compression/cuda/stored_value.h"
#include "compression/value_coding.h"

namespace encke::testing {

// Memory as a GPU's arena gives it: 16-byte aligned, up to the next multiple of 16 bytes; so that a
// sanitizer sees any access behind that.
class AlignedBytes {
 public:
  explicit AlignedBytes(int64_t size);
  explicit AlignedBytes(const std::vector<uint8_t>& bytes);
  uint8_t* data() const { return reinterpret_cast<uint8_t*>(blocks_.get()); }
  int64_t size() const { return size_; }
  std::vector<uint8_t> ToVector() const { return {data(), data() + size_}; }

 private:
  struct alignas(16) Block {
    uint8_t bytes[16];
  };
  std::unique_ptr<Block[]> blocks_;
  int64_t size_;
};

struct Emulated {
  std::vector<uint8_t> stream;
  EncodeStatistics statistics;
  std::vector<uint16_t> marks;  // of a FAST stream
};

// `backwards`: the order in which lanes take their turns (EmulatedWarp).
Emulated EmulateFastEncode(const void* data, DType dtype, const Shape& shape,
                           const ValueCoding& coding, bool backwards);

// Two chunks of equal shape; a stream is empty where DENSE does not pay. REQUIRES: coding.tables.
std::vector<Emulated> EmulateDenseEncode(const std::vector<const void*>& data, DType dtype,
                                         const Shape& shape, const ValueCoding& coding,
                                         bool backwards);

struct EmulatedElements {
  bool good;
  std::vector<uint8_t> bytes;
};
// A FAST stream without its marks.
EmulatedElements EmulateFastDecode(const std::vector<uint8_t>& stream, DType dtype,
                                   const Shape& shape, const ValueCoding& coding, bool backwards);
// One or two DENSE streams.
std::vector<EmulatedElements> EmulateDenseDecode(const std::vector<std::vector<uint8_t>>& streams,
                                                 DType dtype, const Shape& shape,
                                                 const ValueCoding& coding, bool backwards);

// What LaunchEncode and LaunchDecode (compression/cuda/codec_kernels.h) do, with every pointer to
// memory of the host.
void EmulateEncode(const cuda::StoredValueView& view, const void* value,
                   const cuda::DeviceCoding& coding, bool backwards);
void EmulateDecode(const cuda::StoredValueView& view, const cuda::DecodeSpan& span,
                   const cuda::DeviceCoding& coding, bool backwards);

// A whole value, encoded into an arena and decoded from it as the pool's kernels do it, one warp
// after another.
class EmulatedValue {
 public:
  // `capacity`: of the arena.
  EmulatedValue(const void* data, DType dtype, const Shape& shape, const ValueCoding& coding,
                int64_t chunk_bytes, uint64_t capacity, bool backwards);

  const cuda::ValueRecord& record() const { return record_; }
  const Chunking& chunking() const { return view_.chunking; }
  EncodeStatistics statistics() const;
  std::vector<uint8_t> Stream(int64_t chunk) const;
  // Everything that the arena holds, to be damaged.
  AlignedBytes& arena() { return arena_; }
  uint8_t* stream_begin(int64_t chunk) { return arena_.data() + view_.chunks()[chunk].offset; }

  // Samples [first, first + count).
  std::vector<uint8_t> Decode(int64_t first, int64_t count);

 private:
  DType dtype_;
  Shape shape_;
  cuda::PackedTables tables_;
  simd::DenseTables dense_;
  cuda::DeviceCoding coding_;
  bool backwards_;
  AlignedBytes arena_;
  uint64_t used_ = 0;
  cuda::ValueRecord record_ = {};
  std::vector<cuda::ChunkStatistics> statistics_;
  cuda::StoredValueView view_;
};

}  // namespace encke::testing
