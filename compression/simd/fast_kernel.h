// The FAST codec for one instruction set, `Ops` (simd/ops_*.h). The stream is drawn in
// doc/codec-format.md: a table of one nibble for each block of 64 elements, then a bit stream with
// the blocks' Rice codes (simd/rice.h).
#pragma once

#include "compression/simd/bit_stream.h"
#include "compression/simd/rice.h"
#include "compression/simd/walk.h"

namespace encke::simd {
namespace {

template <typename Ops, typename T, QuantizerMode kMode>
int64_t EncodeFastAs(const EncodeJob& job, ChunkSums* sums) {
  const T* data = static_cast<const T*>(job.data);
  const int64_t blocks = (job.elements + kBlockElements - 1) / kBlockElements;
  const int64_t table = (blocks + 1) / 2;
  if (table > job.limit) return -1;
  std::memset(job.out, 0, table);
  BitWriter writer(job.out + table);
  TableCursor cursor(job.tables);
  typename Ops::Sums block_sums;
  T padded[kBlockElements];
  typename Ops::Quantized group[kGroupBlocks];
  RicePlan plans[kGroupBlocks];
  for (int64_t first = 0; first < blocks; first += kGroupBlocks) {
    const int64_t left = blocks - first;
    const int count = left < kGroupBlocks ? static_cast<int>(left) : kGroupBlocks;
    for (int i = 0; i < count; ++i, cursor.Next()) {
      const int64_t begin = (first + i) * kBlockElements;
      const T* x = WholeBlock(data + begin, job.elements - begin, padded);
      group[i] = Ops::template Quantize<kMode>(x, ValidElements(job.elements - begin),
                                               cursor.At<kMode>(), &block_sums);
      plans[i] = ChoosePlan<Ops>(group[i].low);
    }
    for (int i = 0; i < count; ++i) {
      const int64_t b = first + i, begin = b * kBlockElements;
      const T* x = job.elements - begin < kBlockElements ? padded : data + begin;
      const int nibble = WriteBlock<Ops>(x, group[i], plans[i], writer);
      job.out[b / 2] |= static_cast<uint8_t>(nibble << 4 * (b & 1));
      if (table + writer.Size() > job.limit) return -1;
    }
  }
  writer.Flush();
  block_sums.AddTo(sums);
  return table + writer.Size();
}

template <typename Ops, typename T, QuantizerMode kMode>
ENCKE_INLINE bool DecodeBlock(int nibble, const QuantizerTables& tables, BitReader& reader,
                              T* out) {
  typename Ops::Quantized block;
  block.escapes = 0;
  block.wide = false;
  const bool good = __builtin_expect(nibble == kExtendedNibble, 0)
                        ? ReadExtended<Ops>(reader, &block)
                        : ReadRice<Ops>(PlanOf(nibble), reader, &block.low);
  if (!good || !reader.ok()) return false;
  Ops::template Dequantize<kMode>(block, tables, out);
  ReadEscapes(block.escapes, reader, out);
  return reader.ok();
}

template <typename Ops, typename T, QuantizerMode kMode>
bool DecodeFastAs(const DecodeJob& job) {
  T* data = static_cast<T*>(job.data);
  const int64_t blocks = (job.elements + kBlockElements - 1) / kBlockElements;
  const int64_t table = (blocks + 1) / 2;
  if (table > job.size) return false;
  BitReader reader(job.stream + table, job.size - table);
  TableCursor cursor(job.tables);
  for (int64_t b = 0; b < blocks; ++b, cursor.Next()) {
    const int nibble = job.stream[b / 2] >> 4 * (b & 1) & 15;
    const int64_t begin = b * kBlockElements, left = job.elements - begin;
    T padded[kBlockElements];
    T* out = left >= kBlockElements ? data + begin : padded;
    if (!DecodeBlock<Ops, T, kMode>(nibble, cursor.At<kMode>(), reader, out)) return false;
    if (left < kBlockElements) {
      std::memcpy(data + begin, padded, left * sizeof(T));
    }
  }
  return reader.AtEnd();
}

template <typename Ops>
int64_t EncodeFast(DType dtype, const EncodeJob& job, ChunkSums* sums) {
  return ForTypeAndMode(dtype, job.mode, [&](auto type, auto mode) {
    return EncodeFastAs<Ops, decltype(type), mode()>(job, sums);
  });
}

template <typename Ops>
bool DecodeFast(DType dtype, const DecodeJob& job) {
  return ForTypeAndMode(dtype, job.mode, [&](auto type, auto mode) {
    return DecodeFastAs<Ops, decltype(type), mode()>(job);
  });
}

}  // namespace
}  // namespace encke::simd
