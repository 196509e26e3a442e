// A stream of bits, least significant first, in little-endian 64-bit words.
#pragma once

#include "compression/simd/block.h"

namespace encke::simd {
namespace {

// Writes whole words; the caller sees to the space (8 bytes more than the bits take).
class BitWriter {
 public:
  explicit BitWriter(uint8_t* out) : start_(out), out_(out) {}

  // REQUIRES: count <= 64, bits < 2^count.
  __attribute__((always_inline)) void Put(uint64_t bits, int count) {
    const uint64_t word = pending_ | bits << used_;
    const uint64_t carry = bits >> 1 >> (63 - used_);
    std::memcpy(out_, &word, sizeof(word));
    const int used = used_ + count;
    const bool full = used >= 64;
    out_ += full ? 8 : 0;
    pending_ = full ? carry : word;
    used_ = used & 63;
  }

  // Bytes up to the last bit.
  int64_t Size() const { return out_ - start_ + (used_ + 7) / 8; }
  // Writes what is still pending, after which Size() bytes are there.
  void Flush() const { std::memcpy(out_, &pending_, sizeof(pending_)); }

 private:
  uint8_t* start_;
  uint8_t* out_;
  uint64_t pending_ = 0;
  int used_ = 0;
};

// Never reads past `size` bytes: what lies behind reads as 0, and ok() says that it happened.
class BitReader {
 public:
  BitReader(const uint8_t* data, int64_t size) : data_(data), size_(size), bits_(size * 8) {}

  // The next `count` bits, with arbitrary bits above them. REQUIRES: count <= 64.
  __attribute__((always_inline)) uint64_t Get(int count) {
    const int64_t byte = position_ >> 3;
    const int shift = static_cast<int>(position_ & 7);
    position_ += count;
    uint64_t low, high;
    if (__builtin_expect(byte + 9 <= size_, 1)) {
      std::memcpy(&low, data_ + byte, 8);
      high = data_[byte + 8];
    } else {
      low = Tail(byte);
      high = 0;
      if (byte + 8 < size_) high = data_[byte + 8];
    }
    return low >> shift | high << 1 << (63 - shift);
  }

  // Everything read so far was there.
  bool ok() const { return position_ <= bits_; }
  // Exactly all bytes were used.
  bool AtEnd() const { return ok() && bits_ - position_ < 8; }

 private:
  uint64_t Tail(int64_t byte) const {
    uint64_t word = 0;
    for (int64_t i = 0; i < 8 && byte + i < size_; ++i) {
      word |= static_cast<uint64_t>(data_[byte + i]) << (8 * i);
    }
    return word;
  }

  const uint8_t* data_;
  int64_t size_;
  int64_t bits_;
  int64_t position_ = 0;
};

}  // namespace
}  // namespace encke::simd
