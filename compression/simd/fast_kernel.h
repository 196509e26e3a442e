// The FAST codec for one instruction set, `Ops` (simd/ops_*.h). The stream is drawn in
// doc/codec-format.md: a table of one nibble for each block of 64 elements, then a bit stream.
//
// A block's codes are Rice coded (R. F. Rice, JPL 79-22, 1979), but not code by code: bit plane by
// bit plane, and the unary part level by level, each level only for the elements that reached it.
// So 64 elements cost a handful of word operations, and no fixed width has to fit the greatest.
#pragma once

#include "compression/simd/bit_stream.h"
#include "compression/simd/walk.h"

namespace encke::simd {
namespace {

constexpr uint64_t kAll = ~uint64_t{0};
constexpr int kMaxLevels = 32;    // of the unary part
constexpr int kPlainNibble = 1;   // 1 + r: Rice parameter r = 0..7
constexpr int kSparseNibble = 8;  // 8 + r: zero bitmap, then parameter r = 1..6 for the others
constexpr int kExtendedNibble = 15;
constexpr int kEscapeFlag = 1, kWideFlag = 2;  // in front of the inner nibble of extended blocks

// The parameter that suits codes with this sum: near log2 of their mean.
ENCKE_INLINE int RiceParameter(uint32_t sum, uint32_t count) {
  const uint32_t scaled = sum * 5 / (count * 8);
  return scaled == 0 ? 0 : 32 - __builtin_clz(scaled);
}

// How one byte of each of 64 codes is coded.
struct RicePlan {
  int nibble = 0;
  int parameter = 0;
  bool sparse = false;
};

ENCKE_INLINE RicePlan PlanOf(int nibble) {
  if (nibble == 0) return {};
  if (nibble <= kSparseNibble) return {nibble, nibble - kPlainNibble, false};
  return {nibble, nibble - kSparseNibble, true};
}

template <typename Ops>
ENCKE_INLINE RicePlan ChoosePlan(const typename Ops::Codes& codes) {
  const uint64_t nonzero = Ops::AtLeast(codes, 1);
  if (nonzero == 0) return {};
  const uint32_t sum = Ops::SumShifted(codes, 0);
  const uint32_t count = Popcount(nonzero);
  int plain = RiceParameter(sum, 64);
  int sparse = RiceParameter(sum - count, count);
  while (plain < 3 && Ops::AtLeast(codes, kMaxLevels << plain) != 0) ++plain;
  while (sparse < 3 && Ops::AtLeast(codes, kMaxLevels << sparse) != 0) ++sparse;
  plain = plain > 7 ? 7 : plain;
  sparse = sparse > 6 ? 6 : sparse;
  if (sparse == 0) return {kPlainNibble, 0, false};
  const uint32_t plain_bits = 64 * (plain + 1) + Ops::SumShifted(codes, plain);
  const uint32_t sparse_bits =
      64 + count * (sparse + 1) + Ops::SumShifted(Ops::MinusOne(codes), sparse);
  if (sparse_bits < plain_bits) return {kSparseNibble + sparse, sparse, true};
  return {kPlainNibble + plain, plain, false};
}

template <typename Ops>
ENCKE_INLINE void WriteRice(const RicePlan& plan, typename Ops::Codes codes, BitWriter& writer) {
  if (plan.nibble == 0) return;
  uint64_t active = kAll;
  if (plan.sparse) {
    active = Ops::AtLeast(codes, 1);
    codes = Ops::MinusOne(codes);
    writer.Put(active, 64);
  }
  int count = Popcount(active);
  for (int plane = 0; plane < plan.parameter; ++plane) {
    writer.Put(Ops::Pext(Ops::Plane(codes, plane), active), count);
  }
  for (int level = 1 << plan.parameter; active != 0; level += 1 << plan.parameter) {
    const uint64_t reached = level < 256 ? Ops::AtLeast(codes, level) : 0;
    writer.Put(Ops::Pext(reached, active), count);
    active = reached;
    count = Popcount(active);
  }
}

// False when the codes would not fit a byte.
template <typename Ops>
ENCKE_INLINE bool ReadRice(const RicePlan& plan, BitReader& reader, typename Ops::Codes* codes) {
  *codes = Ops::Zero();
  if (plan.nibble == 0) return true;
  uint64_t active = kAll;
  if (plan.sparse) {
    active = reader.Get(64);
    Ops::AddWhere(active, 1, codes);
  }
  int count = Popcount(active);
  for (int plane = 0; plane < plan.parameter; ++plane) {
    Ops::AddWhere(Ops::Pdep(reader.Get(count), active), 1 << plane, codes);
  }
  for (int level = 1 << plan.parameter; active != 0; level += 1 << plan.parameter) {
    active = Ops::Pdep(reader.Get(count), active);
    if (active != 0 && level > 255) return false;
    Ops::AddWhere(active, 1 << plan.parameter, codes);
    count = Popcount(active);
  }
  return true;
}

template <typename T>
ENCKE_INLINE void WriteEscapes(const T* x, uint64_t escapes, BitWriter& writer) {
  for (; escapes != 0; escapes &= escapes - 1) {
    writer.Put(BitsOf(x[__builtin_ctzll(escapes)]), 8 * sizeof(T));
  }
}

// An extended block: flags, inner nibble, bitmap of escapes, the low bytes of wide codes as
// planes, the Rice-coded byte, the escapes as they are.
template <typename Ops, typename T>
void WriteExtended(const T* x, const typename Ops::Quantized& block, BitWriter& writer) {
  const RicePlan plan = ChoosePlan<Ops>(block.wide ? block.high : block.low);
  const int flags = (block.escapes != 0 ? kEscapeFlag : 0) | (block.wide ? kWideFlag : 0);
  writer.Put(flags | plan.nibble << 2, 6);
  if (block.escapes != 0) writer.Put(block.escapes, 64);
  if (block.wide) {
    for (int plane = 0; plane < 8; ++plane) writer.Put(Ops::Plane(block.low, plane), 64);
  }
  WriteRice<Ops>(plan, block.wide ? block.high : block.low, writer);
  WriteEscapes(x, block.escapes, writer);
}

// Writes one block and returns its nibble.
template <typename Ops, typename T>
ENCKE_INLINE int WriteBlock(const T* x, const typename Ops::Quantized& block, BitWriter& writer) {
  if (__builtin_expect(block.escapes != 0 || block.wide, 0)) {
    WriteExtended<Ops, T>(x, block, writer);
    return kExtendedNibble;
  }
  const RicePlan plan = ChoosePlan<Ops>(block.low);
  WriteRice<Ops>(plan, block.low, writer);
  return plan.nibble;
}

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
  for (int64_t b = 0; b < blocks; ++b, cursor.Next()) {
    const int64_t begin = b * kBlockElements;
    const T* x = WholeBlock(data + begin, job.elements - begin, padded);
    const auto block = Ops::template Quantize<kMode>(x, ValidElements(job.elements - begin),
                                                     cursor.At<kMode>(), &block_sums);
    job.out[b / 2] |= static_cast<uint8_t>(WriteBlock<Ops>(x, block, writer) << 4 * (b & 1));
    if (table + writer.Size() > job.limit) return -1;
  }
  writer.Flush();
  block_sums.AddTo(sums);
  return table + writer.Size();
}

// The codes of an extended block; false when it is broken.
template <typename Ops>
bool ReadExtended(BitReader& reader, typename Ops::Quantized* block) {
  const int head = static_cast<int>(reader.Get(6) & 63);
  const int nibble = head >> 2;
  if (nibble == kExtendedNibble) return false;
  block->escapes = (head & kEscapeFlag) != 0 ? reader.Get(64) : 0;
  block->wide = (head & kWideFlag) != 0;
  if (block->wide) {
    block->low = Ops::Zero();
    for (int plane = 0; plane < 8; ++plane) {
      Ops::AddWhere(reader.Get(64), 1 << plane, &block->low);
    }
  }
  return ReadRice<Ops>(PlanOf(nibble), reader, block->wide ? &block->high : &block->low);
}

template <typename T>
ENCKE_INLINE void ReadEscapes(uint64_t escapes, BitReader& reader, T* out) {
  for (; escapes != 0; escapes &= escapes - 1) {
    SetBits(static_cast<uint32_t>(reader.Get(8 * sizeof(T))), out + __builtin_ctzll(escapes));
  }
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
