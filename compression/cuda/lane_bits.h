// Streams of bits, least significant first, as one lane writes and reads them: beside other lanes,
// at any bit of a stream of 32-bit words.
#pragma once

#include "compression/cuda/portable.h"

namespace encke::cuda {

// The part of a stream that is being put together: `count` words from word `first` of the stream
// on, all bits zero to begin with.
struct BitWindow {
  uint32_t* words;
  uint32_t first;
  uint32_t count;
};

// Writes from bit `position` of the stream on. What lies outside of the window is dropped.
class LaneBitWriter {
 public:
  ENCKE_INLINE_MEMBER LaneBitWriter(const BitWindow& window, uint32_t position)
      : window_(window), word_(position / 32), used_(static_cast<int>(position % 32)) {}

  // REQUIRES: count <= 64, bits < 2^count.
  ENCKE_INLINE_MEMBER void Put(uint64_t bits, int count) {
    PutShort(static_cast<uint32_t>(bits), Least(count, 32));
    if (count > 32) PutShort(static_cast<uint32_t>(bits >> 32), count - 32);
  }

  // Writes what is still pending. To be called once, at the end.
  ENCKE_INLINE_MEMBER void Flush() {
    if (used_ > 0) Write(static_cast<uint32_t>(pending_));
  }

 private:
  ENCKE_INLINE_MEMBER void PutShort(uint32_t bits, int count) {
    pending_ |= static_cast<uint64_t>(bits) << used_;
    used_ += count;
    if (used_ < 32) return;
    Write(static_cast<uint32_t>(pending_));
    ++word_;
    pending_ >>= 32;
    used_ -= 32;
  }

  ENCKE_INLINE_MEMBER void Write(uint32_t bits) {
    const uint32_t index = word_ - window_.first;
    if (index < window_.count) AtomicOr(window_.words + index, bits);
  }

  BitWindow window_;
  uint32_t word_;
  int used_;  // bits of word_
  uint64_t pending_ = 0;
};

// A chunk's stream where it lies. REQUIRES: `words` is 16-byte aligned and readable up to the next
// multiple of 16 bytes behind `size`.
struct ByteStream {
  const uint32_t* words;
  uint32_t size;  // bytes

  ENCKE_INLINE_MEMBER uint32_t Word(uint32_t index) const {
    return index < (size + 3) / 4 ? words[index] : 0;
  }
  ENCKE_INLINE_MEMBER uint32_t Byte(uint32_t index) const {
    return index < size ? words[index / 4] >> 8 * (index % 4) & 255 : 0;
  }
};

// Reads from bit `position` of a stream on; nothing outside of it.
class LaneBitReader {
 public:
  LaneBitReader() = default;
  ENCKE_INLINE_MEMBER LaneBitReader(const ByteStream& stream, uint32_t position)
      : stream_(stream), next_(position / 32), position_(position) {
    const int skipped = static_cast<int>(position % 32);
    buffer_ = stream_.Word(next_++) >> skipped;
    available_ = 32 - skipped;
  }

  // The next `count` bits, with arbitrary bits above them. REQUIRES: count <= 64.
  ENCKE_INLINE_MEMBER uint64_t Get(int count) {
    const uint32_t low = GetShort(Least(count, 32));
    return count > 32 ? low | static_cast<uint64_t>(GetShort(count - 32)) << 32 : low;
  }

  ENCKE_INLINE_MEMBER void Skip(uint32_t count) {
    *this = LaneBitReader(stream_, position_ + count);
  }

  ENCKE_INLINE_MEMBER uint32_t position() const { return position_; }
  // Everything read so far was there.
  ENCKE_INLINE_MEMBER bool ok() const { return position_ <= stream_.size * 8; }
  // Exactly all bytes were used.
  ENCKE_INLINE_MEMBER bool AtEnd() const { return ok() && stream_.size * 8 - position_ < 8; }

 private:
  ENCKE_INLINE_MEMBER uint32_t GetShort(int count) {
    if (available_ < count) {
      buffer_ |= static_cast<uint64_t>(stream_.Word(next_++)) << available_;
      available_ += 32;
    }
    const auto bits = static_cast<uint32_t>(buffer_);
    buffer_ >>= count;
    available_ -= count;
    position_ += count;
    return bits;
  }

  ByteStream stream_ = {};
  uint32_t next_ = 0;      // word to be loaded
  uint32_t position_ = 0;  // bit to be read
  uint64_t buffer_ = 0;
  int available_ = 0;  // bits in buffer_
};

}  // namespace encke::cuda
