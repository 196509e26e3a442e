// The encoder of the DENSE codec for one instruction set (dense_kernel.h): elements to tokens and
// raw bits, then tokens to words, of several chunks side by side.
#pragma once

#include <algorithm>
#include <optional>

#include "compression/simd/bit_stream.h"
#include "compression/simd/dense_blocks.h"
#include "compression/simd/dense_stream.h"
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
    // Room for a block of escapes too many, and for what coders overwrite below their words.
    words = reinterpret_cast<uint16_t*>(escapes + max_escapes + kBlockElements);
    bits = reinterpret_cast<uint8_t*>(words + n);
    indexes = bits + 2 * n + kBlockElements;
    tokens = indexes + n + neighbours.left;
    std::memset(tokens - neighbours.left, zero, neighbours.left);
  }
};

ENCKE_INLINE void WriteExtras(const uint8_t* high, const uint8_t* tokens, uint64_t where,
                              BitWriter& writer) {
  for (; where != 0; where &= where - 1) {
    const int i = __builtin_ctzll(where);
    writer.Put(high[i] - kTokenBase[tokens[i]], kTokenExtra[tokens[i]]);
  }
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

// What the tokens of a chunk leave over: raw bits and escapes.
struct RestWriter {
  const DenseBuffers& buffers;
  BitWriter& writer;
  int64_t escapes;

  // Of a block from element `begin` on. `without`: what has no token.
  template <typename Ops, QuantizerMode kMode>
  __attribute__((always_inline)) void Write(int64_t begin, uint64_t valid, uint64_t without,
                                            const DenseRules& rules, SplitCodes* split) {
    uint8_t* tokens = buffers.tokens + begin;
    for (uint64_t left = without | ~valid; left != 0; left &= left - 1) {
      const int i = __builtin_ctzll(left);
      tokens[i] = rules.rule.zero;
      split->high[i] = 0;
      if ((valid >> i & 1) != 0) buffers.escapes[escapes++] = static_cast<uint32_t>(begin + i);
    }
    const auto stored = Ops::LoadCodes(tokens);
    if constexpr (kMode == QuantizerMode::MASK) {
      WriteExtras(split->high, tokens, Ops::AtLeast(stored, kPlainTokens), writer);
    } else {
      uint64_t tails = TailsOf<Ops>(stored, rules) & valid;
      for (; tails != 0; tails &= tails - 1) {
        writer.Put(split->high[__builtin_ctzll(tails)], kTailBits);
      }
    }
    if (rules.shift > 0) {
      WriteLowBits<Ops>(*split, ShiftedOf<Ops, kMode>(stored, rules), rules.shift, writer);
    }
  }
};

// Quantises everything into tokens, raw bits and escapes. False when there are too many escapes.
template <typename Blocks, typename T, QuantizerMode kMode>
bool TokenizeAll(const EncodeJob& job, DenseRules rules, const DenseBuffers& buffers,
                 BitWriter& writer, int64_t* escape_count, ChunkSums* sums) {
  using Ops = typename Blocks::Ops;
  const T* data = static_cast<const T*>(job.data);
  const int64_t blocks = (job.elements + kBlockElements - 1) / kBlockElements;
  TableCursor cursor(job.tables);
  typename Ops::Sums block_sums;
  T padded[kBlockElements];
  typename Blocks::Block block[kGroupBlocks];
  SplitCodes split[kGroupBlocks];
  uint64_t unknown[kGroupBlocks];
  RestWriter rest = {buffers, writer, 0};
  for (int64_t first = 0; first < blocks; first += kGroupBlocks) {
    const int64_t left = blocks - first;
    const int count = left < kGroupBlocks ? static_cast<int>(left) : kGroupBlocks;
    const auto begin = [&](int i) { return (first + i) * kBlockElements; };
    for (int i = 0; i < count; ++i, cursor.Next()) {
      const T* x = WholeBlock(data + begin(i), job.elements - begin(i), padded);
      block[i] = Blocks::template Quantize<kMode>(x, ValidElements(job.elements - begin(i)),
                                                  cursor.At<kMode>(), &block_sums);
    }
    for (int i = 0; i < count; ++i) {
      unknown[i] =
          Blocks::template Split<kMode>(block[i], rules, buffers.tokens + begin(i), &split[i]);
    }
    for (int i = 0; i < count; ++i) {
      const uint64_t valid = ValidElements(job.elements - begin(i));
      block_sums.escapes += Popcount(unknown[i] & valid & ~block[i].escapes);
      rest.Write<Ops, kMode>(begin(i), valid, (unknown[i] | block[i].escapes) & valid, rules,
                             &split[i]);
      if (rest.escapes > buffers.max_escapes) return false;
    }
  }
  writer.Flush();
  *escape_count = rest.escapes;
  block_sums.AddTo(sums);
  return true;
}

// A chunk on its way to a stream: tokenised, then entropy coded, words going down from the bits.
template <typename Rans>
struct ChunkEncoder {
  const DenseBuffers buffers;
  const int64_t groups;  // of kLanes elements
  BitWriter writer;
  int64_t escapes = 0;
  bool fits = true;
  typename Rans::State state;
  uint16_t* words;

  ChunkEncoder(uint8_t* scratch, int64_t elements, const DenseNeighbours& neighbours, uint8_t zero)
      : buffers(scratch, elements, neighbours, zero),
        groups((elements + kLanes - 1) / kLanes),
        writer(buffers.bits),
        state(Rans::Start()),
        words(WordsEnd()) {}

  uint16_t* WordsEnd() const { return reinterpret_cast<uint16_t*>(buffers.bits); }
};

// Context | token << 4, of Contexts::kElements at a time.
template <typename Contexts>
ENCKE_INLINE void MakeIndexesOf(int64_t begin, int64_t end, const DenseNeighbours& neighbours,
                                const ContextRule& rule, const DenseBuffers& buffers) {
  for (int64_t i = begin; i < end; i += Contexts::kElements) {
    Contexts::Indexes(buffers.tokens + i, Near(buffers.tokens, i, neighbours), rule,
                      buffers.indexes + i);
  }
}

template <typename Rans>
void MakeIndexes(const DenseNeighbours& neighbours, const ContextRule& rule,
                 const ChunkEncoder<Rans>& chunk) {
  constexpr int kWide = Rans::WideContexts::kElements;
  const int64_t end = chunk.groups * kLanes;
  for (int64_t i = 0; i < end; i += kWide) {
    // Whole blocks have room.
    if (neighbours.AlikeFor(i, kWide)) {
      MakeIndexesOf<typename Rans::WideContexts>(i, i + kWide, neighbours, rule, chunk.buffers);
    } else {
      MakeIndexesOf<typename Rans::NarrowContexts>(i, i + kWide, neighbours, rule, chunk.buffers);
    }
  }
}

// Entropy codes groups of N chunks side by side, from before `end` down to `first`.
template <int N, typename Rans>
ENCKE_INLINE void CodeGroups(int64_t first, int64_t end, const Rans& rans,
                             ChunkEncoder<Rans>* const* chunks) {
  constexpr int kGroups = Rans::kGroupsAtOnce;
  uint16_t* words[N];
  typename Rans::State states[N];
  for (int n = 0; n < N; ++n) {
    words[n] = chunks[n]->words;
    states[n] = chunks[n]->state;
  }
  const uint8_t* indexes[N];
  for (int n = 0; n < N; ++n) indexes[n] = chunks[n]->buffers.indexes + end * kLanes;
  const auto step = [&](int groups) __attribute__((always_inline)) {
    for (int n = 0; n < N; ++n) indexes[n] -= groups * kLanes;
  };
  int64_t left = end - first;
  for (; left % kGroups != 0; --left) {
    step(1);
    rans.template Put<1>(indexes, states, words);
  }
  for (; left > 0; left -= kGroups) {
    step(kGroups);
    rans.template Put<kGroups>(indexes, states, words);
  }
  for (int n = 0; n < N; ++n) {
    chunks[n]->words = words[n];
    chunks[n]->state = states[n];
  }
}

// All tokens of N chunks: side by side what all of them have, last.
template <int N, typename Rans>
void CodeTokens(const Rans& rans, ChunkEncoder<Rans>* const* chunks) {
  int64_t common = chunks[0]->groups;
  for (int n = 1; n < N; ++n) common = std::min(common, chunks[n]->groups);
  for (int n = 0; n < N; ++n) CodeGroups<1>(common, chunks[n]->groups, rans, chunks + n);
  CodeGroups<N>(0, common, rans, chunks);
}

// All tokens of some chunks, N at a time where there are as many.
template <int N, typename Rans>
void CodeTokensOf(int count, const Rans& rans, ChunkEncoder<Rans>* const* chunks) {
  static_assert((N & (N - 1)) == 0 && N <= kDenseEncodedTogether);
  for (; count >= N; count -= N, chunks += N) CodeTokens<N>(rans, chunks);
  if constexpr (N > 1) CodeTokensOf<N / 2>(count, rans, chunks);
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

// Head, words, escapes and raw bits; -1 where they would pass the limit.
template <typename T, typename Rans>
int64_t WriteChunk(const EncodeJob& job, const ChunkEncoder<Rans>& chunk) {
  if (!chunk.fits) return -1;
  const int64_t word_bytes = (chunk.WordsEnd() - chunk.words) * 2, bits = chunk.writer.Size();
  const auto most = static_cast<int64_t>(16 + kLanes * 4 + chunk.escapes * (5 + sizeof(T)));
  if (most + word_bytes + bits > job.limit) return -1;
  uint8_t* out = job.out;
  WriteVarint(word_bytes / 2, &out);
  WriteVarint(chunk.escapes, &out);
  Rans::Save(chunk.state, out);
  out += kLanes * 4;
  std::memcpy(out, chunk.words, word_bytes);
  out += word_bytes;
  WriteEscapeList(static_cast<const T*>(job.data), chunk.buffers.escapes, chunk.escapes, &out);
  std::memcpy(out, chunk.buffers.bits, bits);
  return out + bits - job.out;
}

template <typename Blocks, typename Rans, typename T, QuantizerMode kMode>
void EncodeDenseAs(const EncodeJob* jobs, int count, const DenseShape& shape,
                   const DenseTables& tables, uint8_t* const* scratch, ChunkSums* sums,
                   int64_t* sizes) {
  const DenseNeighbours neighbours = NeighboursOf(shape.channels, shape.width);
  std::optional<ChunkEncoder<Rans>> chunks[kDenseEncodedTogether];
  ChunkEncoder<Rans>* fitting[kDenseEncodedTogether] = {};
  int fit = 0;
  for (int i = 0; i < count; ++i) {
    ChunkEncoder<Rans>& chunk =
        chunks[i].emplace(scratch[i], jobs[i].elements, neighbours, tables.rule.zero);
    chunk.fits = TokenizeAll<Blocks, T, kMode>(jobs[i], tables, chunk.buffers, chunk.writer,
                                               &chunk.escapes, &sums[i]);
    if (!chunk.fits) continue;
    MakeIndexes(neighbours, tables.rule, chunk);
    fitting[fit++] = &chunk;
  }
  CodeTokensOf<Rans::kPutTogether>(fit, Rans(tables), fitting);
  for (int i = 0; i < count; ++i) sizes[i] = WriteChunk<T>(jobs[i], *chunks[i]);
}

}  // namespace
}  // namespace encke::simd
