// The DENSE codec for one instruction set: `Ops` quantises blocks (simd/ops_*.h), `Rans` codes
// tokens (simd/rans_*.h). The stream is drawn in doc/codec-format.md.
#pragma once

#include "compression/simd/bit_stream.h"
#include "compression/simd/dense_format.h"
#include "compression/simd/token_codes.h"
#include "compression/simd/walk.h"

namespace encke::simd {
namespace {

constexpr int64_t kEscapeShare =
    32;  // more escapes than one element in so many: not for this codec

// Pieces of the scratch memory. n: elements, rounded up to whole blocks.
struct DenseBuffers {
  uint8_t* tokens;    // n, and before them the token of 0 as far as neighbours reach
  uint8_t* indexes;   // n: context | token << 4
  uint8_t* bits;      // 2 n + 64: the bit stream
  uint16_t* words;    // n
  uint32_t* escapes;  // positions
  int64_t max_escapes;

  DenseBuffers(uint8_t* scratch, int64_t elements, const DenseNeighbours& neighbours,
               uint8_t zero) {
    const int64_t n = (elements + kBlockElements - 1) / kBlockElements * kBlockElements;
    max_escapes = n / kEscapeShare;
    escapes = reinterpret_cast<uint32_t*>(scratch);
    words = reinterpret_cast<uint16_t*>(escapes + max_escapes + kBlockElements);
    bits = reinterpret_cast<uint8_t*>(words + n);
    indexes = bits + 2 * n + kBlockElements;
    tokens = indexes + n + neighbours.left;
    std::memset(tokens - neighbours.left, zero, neighbours.left);
  }
};

// 64 codes split into tokens and the raw bits below; with a mask, `high` is z'.
struct SplitCodes {
  alignas(64) uint8_t high[kBlockElements];
  alignas(64) uint8_t low[kBlockElements];
  uint64_t unknown;  // codes that the tables do not cover
};

// The codes of a block as whole numbers.
template <typename Ops>
ENCKE_INLINE void WholeCodes(const typename Ops::Quantized& block, uint16_t* codes) {
  alignas(64) uint8_t low[kBlockElements], high[kBlockElements] = {};
  Ops::StoreCodes(block.low, low);
  if (block.wide) Ops::StoreCodes(block.high, high);
  for (int i = 0; i < kBlockElements; ++i) {
    codes[i] = static_cast<uint16_t>(low[i] | high[i] << 8);
  }
}

template <typename Ops>
ENCKE_INLINE void SplitMasked(const typename Ops::Quantized& block, const DenseTables& tables,
                              uint8_t* tokens, SplitCodes* split) {
  const int shift = tables.shift;
  uint64_t too_high = 0;
  if (shift == 0) {
    Ops::StoreCodes(block.low, split->high);
    if (block.wide) too_high = Ops::AtLeast(block.high, 1);
  } else {
    alignas(64) uint16_t codes[kBlockElements];
    alignas(64) uint8_t over[kBlockElements];
    WholeCodes<Ops>(block, codes);
    for (int i = 0; i < kBlockElements; ++i) {
      const int high = HighPart(codes[i], shift);
      split->low[i] = static_cast<uint8_t>((codes[i] - 1) & ((1 << shift) - 1));
      split->high[i] = static_cast<uint8_t>(high);
      over[i] = high > 255;
    }
    too_high = Ops::AtLeast(Ops::LoadCodes(over), 1);
  }
  for (int i = 0; i < kBlockElements; ++i) tokens[i] = TokenOf(split->high[i]);
  split->unknown = too_high | Ops::AtLeast(Ops::LoadCodes(tokens), tables.tokens);
}

// `high` is how far a code lies beyond the window's end.
template <typename Ops, QuantizerMode kMode>
ENCKE_INLINE void SplitSigned(const typename Ops::Quantized& block, const DenseTables& tables,
                              uint8_t* tokens, SplitCodes* split) {
  // In 16 bits and in short loops, which compilers turn into vector code.
  alignas(64) uint16_t codes[kBlockElements];
  alignas(64) int16_t k[kBlockElements], high[kBlockElements];
  alignas(64) int16_t inside[kBlockElements], beyond[kBlockElements];
  alignas(64) uint8_t too_far[kBlockElements];
  WholeCodes<Ops>(block, codes);
  const auto last = static_cast<int16_t>(tables.tokens - 1);
  const auto lowest = static_cast<int16_t>(tables.lowest);
  const int shift = tables.shift, most_below = HasLowTail(lowest) ? 255 : 0;
  for (int i = 0; i < kBlockElements; ++i) k[i] = static_cast<int16_t>(FromZigzag(codes[i]));
  for (int i = 0; i < kBlockElements; ++i) {
    if constexpr (kMode == QuantizerMode::ACTIVITY) {
      split->low[i] = static_cast<uint8_t>((k[i] - 1) & ((1 << shift) - 1));
      high[i] = static_cast<int16_t>(ActivityHigh(k[i], shift));
    } else {
      split->low[i] = static_cast<uint8_t>(k[i] & ((1 << shift) - 1));
      high[i] = static_cast<int16_t>(k[i] >> shift);
    }
  }
  for (int i = 0; i < kBlockElements; ++i) {
    const auto token = static_cast<int16_t>(high[i] - lowest);
    const int16_t above = token > last ? last : token;
    inside[i] = above < 0 ? int16_t{0} : above;
    beyond[i] = static_cast<int16_t>(token - inside[i]);
  }
  for (int i = 0; i < kBlockElements; ++i) {
    tokens[i] = static_cast<uint8_t>(inside[i]);
    split->high[i] = static_cast<uint8_t>(beyond[i] < 0 ? -beyond[i] : beyond[i]);
    too_far[i] = (beyond[i] > 255) | (beyond[i] < -most_below);
  }
  split->unknown = Ops::AtLeast(Ops::LoadCodes(too_far), 1);
}

// The window's end tokens, behind which raw bits say how far beyond the code lies.
template <typename Ops>
ENCKE_INLINE uint64_t TailsOf(const typename Ops::Codes& tokens, const DenseTables& tables) {
  const uint64_t low = HasLowTail(tables.lowest) ? ~Ops::AtLeast(tokens, 1) : 0;
  return Ops::AtLeast(tokens, tables.tokens - 1) | low;
}

ENCKE_INLINE void WriteExtras(const uint8_t* high, const uint8_t* tokens, uint64_t where,
                              BitWriter& writer) {
  for (; where != 0; where &= where - 1) {
    const int i = __builtin_ctzll(where);
    writer.Put(high[i] - kTokenBase[tokens[i]], kTokenExtra[tokens[i]]);
  }
}

// The elements whose codes the shift shortened: all, or those that are active.
template <typename Ops, QuantizerMode kMode>
ENCKE_INLINE uint64_t ShiftedOf(const typename Ops::Codes& tokens, const DenseTables& tables) {
  return kMode == QuantizerMode::SIGNED ? ~uint64_t{0} : Ops::AtLeast(tokens, tables.rule.zero + 1);
}

template <typename Ops>
ENCKE_INLINE void WriteLowBits(const SplitCodes& split, uint64_t active, int shift,
                               BitWriter& writer) {
  const int count = Popcount(active);
  const auto low = Ops::LoadCodes(split.low);
  for (int plane = 0; plane < shift; ++plane) {
    writer.Put(Ops::Pext(Ops::Plane(low, plane), active), count);
  }
}

// Quantises everything into tokens, raw bits and escapes. False when there are too many escapes.
template <typename Ops, typename T, QuantizerMode kMode>
bool TokenizeAll(const EncodeJob& job, const DenseTables& tables, const DenseBuffers& buffers,
                 BitWriter& writer, int64_t* escape_count, ChunkSums* sums) {
  const T* data = static_cast<const T*>(job.data);
  TableCursor cursor(job.tables);
  typename Ops::Sums block_sums;
  T padded[kBlockElements];
  SplitCodes split;
  int64_t escaped = 0;
  for (int64_t begin = 0; begin < job.elements; begin += kBlockElements, cursor.Next()) {
    const T* x = WholeBlock(data + begin, job.elements - begin, padded);
    const uint64_t valid = ValidElements(job.elements - begin);
    const auto block = Ops::template Quantize<kMode>(x, valid, cursor.At<kMode>(), &block_sums);
    uint8_t* tokens = buffers.tokens + begin;
    if constexpr (kMode == QuantizerMode::MASK) {
      SplitMasked<Ops>(block, tables, tokens, &split);
    } else {
      SplitSigned<Ops, kMode>(block, tables, tokens, &split);
    }
    const uint64_t escapes = block.escapes | split.unknown | ~valid;
    for (uint64_t left = escapes; left != 0; left &= left - 1) {
      const int i = __builtin_ctzll(left);
      tokens[i] = tables.rule.zero;
      split.high[i] = 0;
      if ((valid >> i & 1) != 0) {
        buffers.escapes[escaped++] = static_cast<uint32_t>(begin + i);
      }
    }
    if (escaped > buffers.max_escapes) return false;
    block_sums.escapes += Popcount(escapes & valid & ~block.escapes);
    const auto stored = Ops::LoadCodes(tokens);
    if constexpr (kMode == QuantizerMode::MASK) {
      const uint64_t ranges = Ops::AtLeast(stored, kPlainTokens);
      WriteExtras(split.high, tokens, ranges, writer);
    } else {
      uint64_t tails = TailsOf<Ops>(stored, tables) & valid;
      for (; tails != 0; tails &= tails - 1) {
        writer.Put(split.high[__builtin_ctzll(tails)], kTailBits);
      }
    }
    if (tables.shift > 0) {
      WriteLowBits<Ops>(split, ShiftedOf<Ops, kMode>(stored, tables), tables.shift, writer);
    }
  }
  writer.Flush();
  *escape_count = escaped;
  block_sums.AddTo(sums);
  return true;
}

// What makes the contexts of 16 elements from `position` on.
ENCKE_INLINE TokenNeighbours Near(const uint8_t* tokens, int64_t position,
                                  const DenseNeighbours& neighbours) {
  const uint8_t* own = tokens + position;
  return {own - neighbours.left, own - neighbours.UpAt(position),
          own - neighbours.CornerAt(position)};
}

// Entropy codes the tokens of the chunk; returns the first word.
template <typename Rans>
uint16_t* CodeTokens(int64_t elements, const DenseNeighbours& neighbours, const ContextRule& rule,
                     const DenseBuffers& buffers, uint16_t* words, Rans& rans) {
  const int64_t groups = (elements + kLanes - 1) / kLanes;
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t i = g * kLanes;
    const uint8_t* tokens = buffers.tokens;
    Rans::Indexes(tokens + i, Near(tokens, i, neighbours), rule, buffers.indexes + i);
  }
  Rans local = rans;  // so that its states stay in registers
  for (int64_t g = groups - 1; g >= 0; --g) local.Put(buffers.indexes + g * kLanes, &words);
  rans.CopyStates(local);
  return words;
}

// Numbers as groups of seven bits, low ones first; the top bit says that more follow.
ENCKE_INLINE void WriteVarint(uint64_t value, uint8_t** out) {
  for (; value >= 128; value >>= 7) *(*out)++ = static_cast<uint8_t>(value | 128);
  *(*out)++ = static_cast<uint8_t>(value);
}

ENCKE_INLINE bool ReadVarint(const uint8_t** in, const uint8_t* end, uint64_t* value) {
  *value = 0;
  for (int shift = 0; shift < 63 && *in < end; shift += 7) {
    const uint8_t byte = *(*in)++;
    *value |= static_cast<uint64_t>(byte & 127) << shift;
    if (byte < 128) return true;
  }
  return false;
}

template <typename T>
void WriteEscapeList(const T* data, const uint32_t* positions, int64_t count, uint8_t** out) {
  uint32_t next = 0;
  for (int64_t i = 0; i < count; ++i) {
    WriteVarint(positions[i] - next, out);
    next = positions[i] + 1;
    std::memcpy(*out, data + positions[i], sizeof(T));
    *out += sizeof(T);
  }
}

template <typename Ops, typename Rans, typename T, QuantizerMode kMode>
int64_t EncodeDenseAs(const EncodeJob& job, const DenseShape& shape, const DenseTables& tables,
                      uint8_t* scratch, ChunkSums* sums) {
  const DenseNeighbours neighbours = NeighboursOf(shape.channels, shape.width);
  const DenseBuffers buffers(scratch, job.elements, neighbours, tables.rule.zero);
  BitWriter writer(buffers.bits);
  int64_t escapes = 0;
  if (!TokenizeAll<Ops, T, kMode>(job, tables, buffers, writer, &escapes, sums)) return -1;
  Rans rans(tables);
  uint16_t* const words_end = reinterpret_cast<uint16_t*>(buffers.bits);
  const uint16_t* words =
      CodeTokens(job.elements, neighbours, tables.rule, buffers, words_end, rans);
  const int64_t word_bytes = (words_end - words) * 2;
  const int64_t most = 16 + kLanes * 4 + word_bytes + escapes * (5 + sizeof(T)) + writer.Size();
  if (most > job.limit) return -1;
  uint8_t* out = job.out;
  WriteVarint(word_bytes / 2, &out);
  WriteVarint(escapes, &out);
  rans.Save(out);
  out += kLanes * 4;
  std::memcpy(out, words, word_bytes);
  out += word_bytes;
  WriteEscapeList(static_cast<const T*>(job.data), buffers.escapes, escapes, &out);
  std::memcpy(out, buffers.bits, writer.Size());
  return out + writer.Size() - job.out;
}

// Adds the raw bits of the codes that stand for ranges; false when one leaves its byte.
ENCKE_INLINE bool ReadExtras(uint64_t where, BitReader& reader, uint8_t* codes) {
  for (; where != 0; where &= where - 1) {
    uint8_t& code = codes[__builtin_ctzll(where)];
    const int extra = kTokenExtra[code];
    const int value = kTokenBase[code] + static_cast<int>(reader.Get(extra) & ((1u << extra) - 1));
    if (value > 255) return false;
    code = static_cast<uint8_t>(value);
  }
  return true;
}

template <typename Ops>
ENCKE_INLINE typename Ops::Codes ReadLowBits(uint64_t active, int shift, BitReader& reader) {
  const int count = Popcount(active);
  auto planes = Ops::Zero();
  for (int plane = 0; plane < shift; ++plane) {
    Ops::AddWhere(Ops::Pdep(reader.Get(count), active), 1 << plane, &planes);
  }
  return planes;
}

// The codes of a block from z' in `high`.
template <typename Ops>
ENCKE_INLINE void JoinMasked(const uint8_t* high, int shift, BitReader& reader,
                             typename Ops::Quantized* block) {
  block->wide = shift > 0;
  block->low = Ops::LoadCodes(high);
  if (shift == 0) return;
  alignas(64) uint8_t low[kBlockElements], upper[kBlockElements];
  Ops::StoreCodes(ReadLowBits<Ops>(Ops::AtLeast(block->low, 1), shift, reader), low);
  for (int i = 0; i < kBlockElements; ++i) {
    const int code = high[i] > 0 ? ((high[i] - 1) << shift | low[i]) + 1 : 0;
    low[i] = static_cast<uint8_t>(code);
    upper[i] = static_cast<uint8_t>(code >> 8);
  }
  block->low = Ops::LoadCodes(low);
  block->high = Ops::LoadCodes(upper);
}

template <typename Ops, QuantizerMode kMode>
ENCKE_INLINE void JoinSigned(const uint8_t* tokens, const TokenCodes<kMode>& codes,
                             const DenseTables& tables, uint64_t valid, BitReader& reader,
                             typename Ops::Quantized* block) {
  alignas(64) uint8_t low[kBlockElements] = {}, upper[kBlockElements];
  alignas(64) int16_t values[kBlockElements];
  const int last = tables.tokens - 1, shift = tables.shift;
  const auto stored = Ops::LoadCodes(tokens);
  uint64_t tails = TailsOf<Ops>(stored, tables) & valid;
  if (codes.narrow && tails == 0) {
    block->wide = false;
    block->low = Ops::Lookup(codes.base, stored);
    if (shift == 0) return;
    const auto raw = ReadLowBits<Ops>(ShiftedOf<Ops, kMode>(stored, tables), shift, reader);
    block->low = Ops::Add(block->low, Ops::Add(raw, raw));
    return;
  }
  for (int i = 0; i < kBlockElements; ++i) {
    values[i] = static_cast<int16_t>(tokens[i] + tables.lowest);
  }
  for (; tails != 0; tails &= tails - 1) {
    const int i = __builtin_ctzll(tails);
    const int beyond = static_cast<int>(reader.Get(kTailBits) & 255);
    values[i] = static_cast<int16_t>(values[i] + (tokens[i] == last ? beyond : -beyond));
  }
  if (shift > 0) {
    Ops::StoreCodes(ReadLowBits<Ops>(ShiftedOf<Ops, kMode>(stored, tables), shift, reader), low);
  }
  for (int i = 0; i < kBlockElements; ++i) {
    const int code = ToZigzag(TokenCodes<kMode>::CodeOf(values[i], low[i], shift));
    low[i] = static_cast<uint8_t>(code);
    upper[i] = static_cast<uint8_t>(code >> 8);
  }
  block->low = Ops::LoadCodes(low);
  block->high = Ops::LoadCodes(upper);
  block->wide = true;
}

template <typename Rans>
bool DecodeTokens(int64_t elements, const DenseNeighbours& neighbours, const ContextRule& rule,
                  const uint8_t* words, const uint8_t* end, uint8_t* tokens, const Rans& rans) {
  alignas(16) uint8_t contexts[kLanes];
  Rans local = rans;  // so that its states stay in registers
  for (int64_t i = 0; i < elements; i += kLanes) {
    Rans::Contexts(Near(tokens, i, neighbours), rule, contexts);
    if (!local.Get(contexts, tokens + i, &words, end)) return false;
  }
  return words == end && local.AtStart();
}

template <typename T>
bool ReadEscapeList(const uint8_t** in, const uint8_t* end, int64_t count, int64_t elements,
                    T* data) {
  uint64_t next = 0;
  for (int64_t i = 0; i < count; ++i) {
    uint64_t gap;
    if (!ReadVarint(in, end, &gap) || gap >= static_cast<uint64_t>(elements)) return false;
    const uint64_t position = next + gap;
    if (position >= static_cast<uint64_t>(elements)) return false;
    if (end - *in < static_cast<int64_t>(sizeof(T))) return false;
    std::memcpy(data + position, *in, sizeof(T));
    *in += sizeof(T);
    next = position + 1;
  }
  return true;
}

// Tokens and raw bits back to elements.
template <typename Ops, typename T, QuantizerMode kMode>
bool Reconstruct(const DecodeJob& job, const DenseTables& tables, uint8_t* tokens,
                 BitReader& reader) {
  T* data = static_cast<T*>(job.data);
  TableCursor cursor(job.tables);
  [[maybe_unused]] const TokenCodes<kMode> token_codes(tables);
  for (int64_t begin = 0; begin < job.elements; begin += kBlockElements, cursor.Next()) {
    uint8_t* codes = tokens + begin;
    typename Ops::Quantized block;
    block.high = Ops::Zero();
    if constexpr (kMode == QuantizerMode::MASK) {
      const uint64_t ranges = Ops::AtLeast(Ops::LoadCodes(codes), kPlainTokens);
      if (!ReadExtras(ranges, reader, codes)) return false;
      JoinMasked<Ops>(codes, tables.shift, reader, &block);
    } else {
      JoinSigned<Ops, kMode>(codes, token_codes, tables, ValidElements(job.elements - begin),
                             reader, &block);
    }
    if (!reader.ok()) return false;
    const int64_t left = job.elements - begin;
    T padded[kBlockElements];
    Ops::template Dequantize<kMode>(block, cursor.At<kMode>(),
                                    left >= kBlockElements ? data + begin : padded);
    if (left < kBlockElements) std::memcpy(data + begin, padded, left * sizeof(T));
  }
  return reader.AtEnd();
}

template <typename Ops, typename Rans, typename T, QuantizerMode kMode>
bool DecodeDenseAs(const DecodeJob& job, const DenseShape& shape, const DenseTables& tables,
                   uint8_t* scratch) {
  const uint8_t* in = job.stream;
  const uint8_t* const end = job.stream + job.size;
  uint64_t words, escapes;
  if (!ReadVarint(&in, end, &words) || !ReadVarint(&in, end, &escapes)) return false;
  const auto limit = static_cast<uint64_t>(job.size);
  if (words > limit || escapes > limit) return false;
  if (end - in < static_cast<int64_t>(kLanes * 4 + 2 * words)) return false;
  Rans rans(tables);
  rans.Load(in);
  in += kLanes * 4;
  const DenseNeighbours neighbours = NeighboursOf(shape.channels, shape.width);
  const DenseBuffers buffers(scratch, job.elements, neighbours, tables.rule.zero);
  // The last block's tokens are not all decoded.
  const int64_t last = job.elements / kBlockElements * kBlockElements;
  if (last < job.elements) std::memset(buffers.tokens + last, 0, kBlockElements);
  if (!DecodeTokens(job.elements, neighbours, tables.rule, in, in + 2 * words, buffers.tokens,
                    rans)) {
    return false;
  }
  const uint8_t* list = in + 2 * words;
  // The escapes are read twice: once to find the bit stream behind them, once in their places.
  const uint8_t* bits = list;
  T* data = static_cast<T*>(job.data);
  if (!ReadEscapeList(&bits, end, escapes, job.elements, data)) return false;
  BitReader reader(bits, end - bits);
  if (!Reconstruct<Ops, T, kMode>(job, tables, buffers.tokens, reader)) return false;
  return ReadEscapeList(&list, end, escapes, job.elements, data);
}

template <typename Ops, typename T, QuantizerMode kMode>
void QuantizeAllAs(const EncodeJob& job, uint16_t* codes) {
  const T* data = static_cast<const T*>(job.data);
  TableCursor cursor(job.tables);
  typename Ops::Sums sums;
  T padded[kBlockElements];
  for (int64_t begin = 0; begin < job.elements; begin += kBlockElements, cursor.Next()) {
    const T* x = WholeBlock(data + begin, job.elements - begin, padded);
    const uint64_t valid = ValidElements(job.elements - begin);
    WholeCodes<Ops>(Ops::template Quantize<kMode>(x, valid, cursor.At<kMode>(), &sums),
                    codes + begin);
  }
}

template <typename Ops>
void QuantizeAll(DType dtype, const EncodeJob& job, uint16_t* codes) {
  ForTypeAndMode(dtype, job.mode, [&](auto type, auto mode) {
    QuantizeAllAs<Ops, decltype(type), mode()>(job, codes);
  });
}

template <typename Ops, typename Rans>
int64_t EncodeDense(DType dtype, const EncodeJob& job, const DenseShape& shape,
                    const DenseTables& tables, uint8_t* scratch, ChunkSums* sums) {
  return ForTypeAndMode(dtype, job.mode, [&](auto type, auto mode) {
    return EncodeDenseAs<Ops, Rans, decltype(type), mode()>(job, shape, tables, scratch, sums);
  });
}

template <typename Ops, typename Rans>
bool DecodeDense(DType dtype, const DecodeJob& job, const DenseShape& shape,
                 const DenseTables& tables, uint8_t* scratch) {
  return ForTypeAndMode(dtype, job.mode, [&](auto type, auto mode) {
    return DecodeDenseAs<Ops, Rans, decltype(type), mode()>(job, shape, tables, scratch);
  });
}

}  // namespace
}  // namespace encke::simd
