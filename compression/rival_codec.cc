#include "compression/rival_codec.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "compression/stream.h"
#include "compression/value_coding.h"

namespace encke {
namespace {

constexpr float kLeastActive = 0x1p-100f;  // what an active element becomes when it would vanish

int64_t MaskBytes(int64_t elements) { return (elements + 7) / 8; }

template <typename T>
std::vector<float> ToFinite(const T* data, int64_t elements) {
  std::vector<float> values(elements);
  for (int64_t i = 0; i < elements; ++i) {
    const auto x = static_cast<float>(data[i]);
    values[i] = std::isfinite(x) ? x : 0.0f;
  }
  return values;
}

std::vector<uint8_t> PackMask(const std::vector<float>& values) {
  std::vector<uint8_t> bits(MaskBytes(values.size()));
  for (size_t i = 0; i < values.size(); ++i) {
    bits[i / 8] |= static_cast<uint8_t>((values[i] > 0) << i % 8);
  }
  return bits;
}

void ApplyMask(const uint8_t* bits, std::vector<float>* values) {
  for (size_t i = 0; i < values->size(); ++i) {
    const bool active = (bits[i / 8] >> i % 8 & 1) != 0;
    (*values)[i] = active ? std::max((*values)[i], kLeastActive) : 0.0f;
  }
}

}  // namespace

std::vector<float> FiniteValues(const void* data, DType dtype, int64_t elements) {
  return dtype == DType::F32 ? ToFinite(static_cast<const float*>(data), elements)
                             : ToFinite(static_cast<const bfloat16*>(data), elements);
}

int64_t RivalCodec::MaxStreamSize(const Shape& chunk, DType dtype) const {
  return kStreamHead + chunk.elements() * SizeOf(dtype);
}

int64_t RivalCodec::EncodeStream(const void* data, DType dtype, const Shape& chunk,
                                 const ValueCoding& coding, uint8_t* out,
                                 EncodeStatistics* statistics) const {
  const int64_t elements = chunk.elements(), bytes = elements * SizeOf(dtype);
  *statistics = CountElements(data, dtype, elements, coding.quantizer);
  const std::vector<float> values = FiniteValues(data, dtype, elements);
  std::vector<uint8_t> stream;
  if (coding.quantizer.mask()) stream = PackMask(values);
  EncodeValues(values, chunk, coding, &stream);
  if (static_cast<int64_t>(stream.size()) >= bytes) return WriteCopy(data, bytes, out);
  std::memcpy(WriteStreamHead(kind_, out), stream.data(), stream.size());
  return kStreamHead + static_cast<int64_t>(stream.size());
}

void RivalCodec::DecodeStream(const uint8_t* stream, int64_t size, DType dtype, const Shape& chunk,
                              const ValueCoding& coding, void* data) const {
  const int64_t elements = chunk.elements();
  const StreamKind kind = ReadStreamHead(stream, size);
  if (kind == StreamKind::COPY) return ReadCopy(stream, size, elements * SizeOf(dtype), data);
  const int64_t before = kStreamHead + (coding.quantizer.mask() ? MaskBytes(elements) : 0);
  if (kind != kind_ || size < before) {
    ThrowCorruption("a compressed chunk is not one of codec " + name());
  }
  std::vector<float> values(elements);
  DecodeValues(stream + before, size - before, chunk, coding, &values);
  if (coding.quantizer.mask()) ApplyMask(stream + kStreamHead, &values);
  if (dtype == DType::F32) {
    std::copy(values.begin(), values.end(), static_cast<float*>(data));
  } else {
    std::transform(values.begin(), values.end(), static_cast<bfloat16*>(data),
                   [](float x) { return bfloat16(x); });
  }
}

}  // namespace encke
