#include "tests/compression/cuda/emulation.h"

#include <cstring>

#include "compression/cuda/fast_decoder.h"
#include "compression/cuda/fast_encoder.h"
#include "compression/cuda/uniform_tables.h"

namespace encke::testing {
namespace {

using cuda::EmulatedWarp;
using cuda::MaskRule;
using cuda::SignedRule;

// Calls body(T{}, Rule{}) with the types of the kernel that would run.
template <typename Body>
auto WithTypes(DType dtype, bool mask, const Body& body) {
  if (dtype == DType::F32) {
    return mask ? body(float{}, MaskRule{}) : body(float{}, SignedRule{});
  }
  return mask ? body(uint16_t{}, MaskRule{}) : body(uint16_t{}, SignedRule{});
}

EncodeStatistics ToStatistics(const cuda::ChunkStatistics& sum, int64_t elements) {
  return {elements, sum.nonzero, sum.escapes, sum.squares};
}

}  // namespace

AlignedBytes::AlignedBytes(int64_t size) : blocks_(new Block[(size + 15) / 16]), size_(size) {
  std::memset(data(), 0xcd, (size + 15) / 16 * 16);
}

AlignedBytes::AlignedBytes(const std::vector<uint8_t>& bytes)
    : AlignedBytes(static_cast<int64_t>(bytes.size())) {
  if (!bytes.empty()) std::memcpy(data(), bytes.data(), bytes.size());
}

Emulated EmulateFastEncode(const void* data, DType dtype, const Shape& shape,
                           const ValueCoding& coding, bool backwards) {
  const Quantizer& quantizer = coding.quantizer;
  const std::vector<cuda::UniformTable> tables = cuda::UniformTables(quantizer.tables());
  const auto elements = static_cast<uint32_t>(shape.elements());
  return WithTypes(dtype, quantizer.mask(), [&](auto t, auto rule) {
    using T = decltype(t);
    using Rule = decltype(rule);
    EmulatedWarp warp(backwards);
    const auto memory = std::make_unique<cuda::FastEncodeMemory>();
    const cuda::RuleTables<Rule> rules = {tables.data(),
                                          static_cast<uint32_t>(quantizer.tables().period)};
    cuda::FastEncoder<EmulatedWarp, T, Rule> encoder(warp, static_cast<const T*>(data), elements,
                                                     rules, memory.get());
    Emulated result;
    const AlignedBytes stream(encoder.Measure());
    result.marks.resize(cuda::SegmentsOf(elements));
    encoder.Write(stream.data(), result.marks.data());
    result.stream = stream.ToVector();
    result.statistics = ToStatistics(encoder.Statistics(), elements);
    return result;
  });
}

EmulatedElements EmulateFastDecode(const std::vector<uint8_t>& stream, DType dtype,
                                   const Shape& shape, const ValueCoding& coding, bool backwards) {
  const Quantizer& quantizer = coding.quantizer;
  const std::vector<cuda::UniformTable> tables = cuda::UniformTables(quantizer.tables());
  const AlignedBytes bytes(stream);
  return WithTypes(dtype, quantizer.mask(), [&](auto t, auto rule) {
    using T = decltype(t);
    using Rule = decltype(rule);
    EmulatedWarp warp(backwards);
    const auto memory = std::make_unique<cuda::FastDecodeMemory>();
    const cuda::RuleTables<Rule> rules = {tables.data(),
                                          static_cast<uint32_t>(quantizer.tables().period)};
    const AlignedBytes out(shape.elements() * static_cast<int64_t>(sizeof(T)));
    cuda::FastDecoder<EmulatedWarp, T, Rule> decoder(
        warp, rules, {reinterpret_cast<T*>(out.data()), 0, shape.elements()}, memory.get());
    const bool good =
        decoder.DecodeChunk({reinterpret_cast<const uint32_t*>(bytes.data()),
                             static_cast<uint32_t>(stream.size())},
                            0, static_cast<uint32_t>(shape.elements()));
    return EmulatedElements{good, out.ToVector()};
  });
}

}  // namespace encke::testing
