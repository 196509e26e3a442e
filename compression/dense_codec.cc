#include "compression/dense_codec.h"

#include <algorithm>
#include <vector>

#include "compression/dense_tables.h"
#include "compression/stream.h"
#include "compression/value_coding.h"
#include "engine/core/error.h"
#include "engine/core/memory.h"

namespace encke {
namespace {

static_assert(kEncodedTogether == simd::kDenseEncodedTogether &&
              kDecodedTogether == simd::kDenseDecodedTogether);
constexpr int kMostTogether = std::max(simd::kDenseEncodedTogether, simd::kDenseDecodedTogether);

// Scratch memory of this thread for chunks that are coded together, so much for each, not cleared,
// kept from chunk to chunk. Taken for each chunk anew, it came from the system and went back, and a
// tenth of a training step went into page faults.
struct ThreadScratch {
  uint8_t* of[kMostTogether];

  ThreadScratch(int64_t bytes, int count) {
    // Chunks are walked through at the same pace: they must not meet in the same cache sets.
    constexpr int64_t kPage = 4096, kApart = 9 * 64;
    const int64_t stride = RoundUp(bytes, kPage) + kApart;
    thread_local std::vector<uint8_t> scratch;
    if (scratch.size() < static_cast<size_t>(count * stride)) scratch.assign(count * stride, 0);
    for (int i = 0; i < count; ++i) of[i] = scratch.data() + i * stride;
  }
};

simd::DenseShape DenseShapeOf(const Shape& chunk) { return {chunk.c, chunk.w}; }

// How many of the requests, from the first on, the kernels can code at once.
template <typename Request>
int TakeTogether(const Request* requests, int count, int most) {
  const Shape& first = requests[0].shape;
  int taken = 1;
  while (taken < std::min(count, most) && requests[taken].shape.c == first.c &&
         requests[taken].shape.w == first.w) {
    ++taken;
  }
  return taken;
}

template <typename Request>
int64_t LargestOf(const Request* requests, int count) {
  int64_t elements = 0;
  for (int i = 0; i < count; ++i) elements = std::max(elements, requests[i].shape.elements());
  return elements;
}

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
  EncodeRequest request = {data, chunk, out, 0, {}};
  EncodeStreams(dtype, coding, &request, 1);
  *statistics = request.statistics;
  return request.size;
}

void DenseCodec::EncodeStreams(DType dtype, const ValueCoding& coding, EncodeRequest* requests,
                               int count) const {
  ENCKE_CHECK(dtype == DType::F32 || dtype == DType::BF16, NameOf(dtype));
  if (coding.tables.empty()) return fast_.EncodeStreams(dtype, coding, requests, count);
  const Quantizer& quantizer = coding.quantizer;
  const ExpandedQuantizer expanded = quantizer.Expand();
  const simd::DenseTables tables = ExpandDenseTables(coding.tables);
  for (int begin = 0; begin < count;) {
    EncodeRequest* together = requests + begin;
    const int taken = TakeTogether(together, count - begin, simd::kDenseEncodedTogether);
    begin += taken;
    const simd::DenseShape shape = DenseShapeOf(together[0].shape);
    simd::EncodeJob jobs[simd::kDenseEncodedTogether];
    simd::ChunkSums sums[simd::kDenseEncodedTogether];
    int64_t sizes[simd::kDenseEncodedTogether];
    for (int i = 0; i < taken; ++i) {
      const EncodeRequest& r = together[i];
      const int64_t elements = r.shape.elements();
      jobs[i] = {r.data,
                 elements,
                 expanded.tables(),
                 quantizer.mode(),
                 WriteStreamHead(StreamKind::DENSE, r.out),
                 elements * SizeOf(dtype) - 1};
    }
    const ThreadScratch scratch(simd::DenseScratch(LargestOf(together, taken), shape), taken);
    kernels_.encode_dense(dtype, jobs, taken, shape, tables, scratch.of, sums, sizes);
    for (int i = 0; i < taken; ++i) {
      EncodeRequest& r = together[i];
      if (sizes[i] < 0) {
        r.size = fast_.EncodeStream(r.data, dtype, r.shape, coding, r.out, &r.statistics);
        continue;
      }
      r.statistics = StatisticsOf(sums[i], r.data, dtype, r.shape.elements(), quantizer);
      r.size = kStreamHead + sizes[i];
    }
  }
}

void DenseCodec::DecodeStream(const uint8_t* stream, int64_t size, DType dtype, const Shape& chunk,
                              const ValueCoding& coding, void* data) const {
  const DecodeRequest request = {stream, size, chunk, data};
  DecodeStreams(dtype, coding, &request, 1);
}

void DenseCodec::DecodeStreams(DType dtype, const ValueCoding& coding,
                               const DecodeRequest* requests, int count) const {
  const auto is_dense = [&](const DecodeRequest& r) {
    return ReadStreamHead(r.stream, r.size) == StreamKind::DENSE && !coding.tables.empty();
  };
  if (std::none_of(requests, requests + count, is_dense)) {
    return fast_.DecodeStreams(dtype, coding, requests, count);
  }
  const Quantizer& quantizer = coding.quantizer;
  const ExpandedQuantizer expanded = quantizer.Expand();
  const simd::DenseTables tables = ExpandDenseTables(coding.tables);
  for (int begin = 0; begin < count;) {
    const DecodeRequest* together = requests + begin;
    if (!is_dense(*together)) {
      fast_.DecodeStreams(dtype, coding, together, 1);
      ++begin;
      continue;
    }
    const int alike = TakeTogether(together, count - begin, simd::kDenseDecodedTogether);
    const auto taken =
        static_cast<int>(std::find_if_not(together, together + alike, is_dense) - together);
    begin += taken;
    const simd::DenseShape shape = DenseShapeOf(together[0].shape);
    simd::DecodeJob jobs[simd::kDenseDecodedTogether];
    for (int i = 0; i < taken; ++i) {
      const DecodeRequest& r = together[i];
      jobs[i] = {
          r.stream + kStreamHead, r.size - kStreamHead, expanded.tables(), quantizer.mode(), r.data,
          r.shape.elements()};
    }
    const ThreadScratch scratch(simd::DenseDecodingScratch(LargestOf(together, taken), shape),
                                taken);
    if (!kernels_.decode_dense(dtype, jobs, taken, shape, tables, scratch.of)) {
      ThrowCorruption("a compressed chunk is broken");
    }
  }
}

}  // namespace encke
