// The GPU codec's code on an emulated warp: chunks encoded and decoded as the kernels do it.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "compression/codec.h"
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

}  // namespace encke::testing
