#include "compression/quant_codec.h"

#include <algorithm>
#include <cstring>

#include "compression/value_coding.h"
#include "engine/core/rng.h"

namespace encke {
namespace {

constexpr int64_t kGroup = 256;
constexpr size_t kHashed = 1024;  // elements of a chunk, at most

// Of one group: its least value and the distance of two levels.
struct GroupHead {
  float least;
  float step;
};

int64_t PackedBytes(int64_t elements, int bits) { return (elements * bits + 7) / 8; }

// Different chunks of a value draw different numbers, the same chunk always the same: a hash of
// elements from all over it.
uint64_t Substream(const std::vector<float>& values) {
  uint64_t sum = values.size();
  const size_t stride = values.size() / kHashed + 1;
  for (size_t i = 0; i < values.size(); i += stride) {
    uint32_t bits;
    std::memcpy(&bits, &values[i], sizeof(bits));
    sum = (sum ^ bits) * 0x100000001b3;  // FNV-1a, by words
  }
  return sum;
}

GroupHead HeadOf(const float* values, int64_t count, int levels) {
  const auto [least, greatest] = std::minmax_element(values, values + count);
  // In double: the range of floats may exceed the greatest float.
  const double range = static_cast<double>(*greatest) - *least;
  return {*least, static_cast<float>(range / levels)};
}

}  // namespace

void QuantCodec::EncodeValues(const std::vector<float>& values, const Shape&,
                              const ValueCoding& coding, std::vector<uint8_t>* out) const {
  const int levels = (1 << bits_) - 1;
  Rng rng(coding.seed, RngStream::QUANTIZE, Substream(values));
  for (size_t begin = 0; begin < values.size(); begin += kGroup) {
    const int64_t count = std::min<int64_t>(kGroup, values.size() - begin);
    const GroupHead head = HeadOf(values.data() + begin, count, levels);
    const size_t at = out->size();
    out->resize(at + sizeof(head) + PackedBytes(count, bits_));
    std::memcpy(out->data() + at, &head, sizeof(head));
    uint8_t* packed = out->data() + at + sizeof(head);
    // In double, in which no difference of floats overflows.
    const double inverse = head.step > 0 ? 1.0 / head.step : 0.0;
    for (int64_t i = 0; i < count; ++i) {
      const double draw = rng.NextU32() * 0x1p-32;
      const double level = (static_cast<double>(values[begin + i]) - head.least) * inverse + draw;
      const auto code = static_cast<int>(std::min<double>(level, levels));
      packed[i * bits_ / 8] |= static_cast<uint8_t>(code << i * bits_ % 8);
    }
  }
}

void QuantCodec::DecodeValues(const uint8_t* stream, int64_t size, const Shape&, const ValueCoding&,
                              std::vector<float>* values) const {
  const int64_t elements = values->size();
  const int64_t groups = (elements + kGroup - 1) / kGroup;
  const int64_t tail = elements - (groups - 1) * kGroup;
  const int64_t group_bytes = sizeof(GroupHead) + PackedBytes(kGroup, bits_);
  const int64_t expected = groups == 0 ? 0
                                       : (groups - 1) * group_bytes +
                                             static_cast<int64_t>(sizeof(GroupHead)) +
                                             PackedBytes(tail, bits_);
  if (size != expected) ThrowCorruption("a chunk of codec " + name() + " has the wrong length");
  for (int64_t g = 0; g < groups; ++g, stream += group_bytes) {
    GroupHead head;
    std::memcpy(&head, stream, sizeof(head));
    const uint8_t* packed = stream + sizeof(head);
    float* out = values->data() + g * kGroup;
    for (int64_t i = 0; i < (g == groups - 1 ? tail : kGroup); ++i) {
      const int code = packed[i * bits_ / 8] >> i * bits_ % 8 & ((1 << bits_) - 1);
      out[i] = static_cast<float>(head.least + static_cast<double>(code) * head.step);
    }
  }
}

}  // namespace encke
