#include "compression/dense_codec.h"

#include <algorithm>
#include <vector>

#include "compression/dense_tables.h"
#include "compression/stream.h"
#include "compression/value_coding.h"
#include "engine/core/error.h"

namespace encke {
namespace {

// Scratch memory of this thread, not cleared, kept from chunk to chunk: some six bytes for each
// element of the largest. Taken for each chunk anew, it came from the system and went back, and a
// tenth of a training step went into page faults.
uint8_t* ThreadScratch(int64_t elements, const simd::DenseShape& shape) {
  thread_local std::vector<uint8_t> scratch;
  const auto needed = static_cast<size_t>(simd::DenseScratch(elements, shape));
  if (scratch.size() < needed) scratch.assign(needed, 0);
  return scratch.data();
}

simd::DenseShape DenseShapeOf(const Shape& chunk) { return {chunk.c, chunk.w}; }

// Codes that tables are learnt from, about: of wide values a few channels of each piece serve.
constexpr int64_t kLearntCodes = 49152;
constexpr int64_t kFewChannels = 32;

// Of a piece's channels, so many in a row; those of all pieces are spread evenly.
struct ChannelRange {
  int64_t first, count;

  ChannelRange(const Shape& piece, int64_t pieces, int64_t number) : first(0), count(piece.c) {
    const int64_t pixels = piece.elements() / piece.c;
    const int64_t enough =
        std::max(kLearntCodes / std::max<int64_t>(pixels * pieces, 1), kFewChannels);
    if (enough >= piece.c) return;
    count = enough;
    first = number * (piece.c - count) / std::max<int64_t>(pieces - 1, 1);
  }

  std::vector<uint16_t> Of(const std::vector<uint16_t>& codes, const Shape& piece) const {
    std::vector<uint16_t> chosen;
    for (int64_t i = first; i < piece.elements(); i += piece.c) {
      chosen.insert(chosen.end(), codes.begin() + i, codes.begin() + i + count);
    }
    return chosen;
  }
};

}  // namespace

void DenseCodec::Prepare(const std::vector<ChunkView>& sample, DType dtype,
                         ValueCoding* coding) const {
  const Quantizer& quantizer = coding->quantizer;
  const ExpandedQuantizer expanded = quantizer.Expand();
  DenseTableBuilder builder(quantizer.mode());
  const auto pieces = static_cast<int64_t>(sample.size());
  double fast_bits = 0;
  for (int64_t i = 0; i < pieces; ++i) {
    const ChunkView& chunk = sample[i];
    const int64_t elements = chunk.shape.elements();
    std::vector<uint16_t> codes((elements + 63) / 64 * 64);
    kernels_.quantize(dtype,
                      {chunk.data, elements, expanded.tables(), quantizer.mode(), nullptr, 0},
                      codes.data());
    const ChannelRange range(chunk.shape, pieces, i);
    const int64_t chosen = elements / chunk.shape.c * range.count;
    builder.Add(range.Of(codes, chunk.shape), {range.count, chunk.shape.w});
    std::vector<uint8_t> stream(fast_.MaxStreamSize(chunk.shape, dtype));
    EncodeStatistics statistics;
    const int64_t bytes =
        fast_.EncodeStream(chunk.data, dtype, chunk.shape, *coding, stream.data(), &statistics);
    fast_bits += 8.0 * static_cast<double>(bytes * chosen) / static_cast<double>(elements);
  }
  // Where neighbours tell little and scales differ from pixel to pixel, FAST is the smaller one.
  DenseTableBuilder::Result learnt = builder.Build();
  coding->tables.clear();
  if (static_cast<double>(learnt.bits) < fast_bits) coding->tables = std::move(learnt.tables);
}

bool DenseCodec::KnowsTables(const std::vector<uint8_t>& tables, QuantizerMode mode) const {
  return tables.empty() || AreDenseTables(tables, mode);
}

int64_t DenseCodec::MaxStreamSize(const Shape& chunk, DType dtype) const {
  return fast_.MaxStreamSize(chunk, dtype);
}

int64_t DenseCodec::EncodeStream(const void* data, DType dtype, const Shape& chunk,
                                 const ValueCoding& coding, uint8_t* out,
                                 EncodeStatistics* statistics) const {
  ENCKE_CHECK(dtype == DType::F32 || dtype == DType::BF16, NameOf(dtype));
  if (coding.tables.empty()) return fast_.EncodeStream(data, dtype, chunk, coding, out, statistics);
  const Quantizer& quantizer = coding.quantizer;
  const int64_t elements = chunk.elements(), bytes = elements * SizeOf(dtype);
  const simd::DenseShape shape = DenseShapeOf(chunk);
  const ExpandedQuantizer expanded = quantizer.Expand();
  uint8_t* rest = WriteStreamHead(StreamKind::DENSE, out);
  simd::ChunkSums sums;
  const int64_t size = kernels_.encode_dense(
      dtype, {data, elements, expanded.tables(), quantizer.mode(), rest, bytes - 1}, shape,
      ExpandDenseTables(coding.tables), ThreadScratch(elements, shape), &sums);
  if (size < 0) return fast_.EncodeStream(data, dtype, chunk, coding, out, statistics);
  *statistics = StatisticsOf(sums, data, dtype, elements, quantizer);
  return kStreamHead + size;
}

void DenseCodec::DecodeStream(const uint8_t* stream, int64_t size, DType dtype, const Shape& chunk,
                              const ValueCoding& coding, void* data) const {
  if (ReadStreamHead(stream, size) != StreamKind::DENSE || coding.tables.empty()) {
    return fast_.DecodeStream(stream, size, dtype, chunk, coding, data);
  }
  const Quantizer& quantizer = coding.quantizer;
  const int64_t elements = chunk.elements();
  const simd::DenseShape shape = DenseShapeOf(chunk);
  const ExpandedQuantizer expanded = quantizer.Expand();
  const simd::DecodeJob job = {stream + kStreamHead,
                               size - kStreamHead,
                               expanded.tables(),
                               quantizer.mode(),
                               data,
                               elements};
  if (!kernels_.decode_dense(dtype, job, shape, ExpandDenseTables(coding.tables),
                             ThreadScratch(elements, shape))) {
    ThrowCorruption("a compressed chunk is broken");
  }
}

}  // namespace encke
