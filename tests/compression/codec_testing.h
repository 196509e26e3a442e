// What the codec tests share: inputs to be afraid of, and the contract checked on every element.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "compression/codec.h"
#include "compression/value_coding.h"
#include "engine/core/dtype.h"

namespace encke::testing {

struct NamedInput {
  std::string name;
  std::vector<float> values;
};

// Random and adversarial arrays of `count` floats, the same in every run.
std::vector<NamedInput> Inputs(int64_t count);
// Smooth maps with a ReLU behind them: about 60% zeros, `shape` in NHWC.
std::vector<float> ReluMaps(const Shape& shape, uint64_t seed);

CodecOptions Uniform(float bound, bool mask);

// The same activity in all channels, but for the sign, which is -1 in every third.
CodecOptions UniformActivity(int64_t channels, float threshold, float bound, float inactive_bound);

std::vector<uint16_t> ToBfloat16(const std::vector<float>& values);

struct Encoded {
  std::shared_ptr<ValueCoding> coding;
  std::vector<uint8_t> stream;
  EncodeStatistics statistics;
};
Encoded Encode(const Codec& codec, const void* data, DType dtype, const Shape& shape,
               const CodecOptions& options);
// The decoded elements as they lie in memory.
std::vector<uint8_t> Decode(const Codec& codec, const std::vector<uint8_t>& stream, DType dtype,
                            const Shape& shape, const ValueCoding& coding);

// "" when `decoded` keeps the contract of codec.h for `data`, else what it breaks, where.
std::string ContractViolation(const void* data, const void* decoded, DType dtype,
                              const Shape& shape, const CodecOptions& options);
// Encode, decode, ContractViolation.
std::string RoundTripViolation(const Codec& codec, const void* data, DType dtype,
                               const Shape& shape, const CodecOptions& options);

}  // namespace encke::testing
