// The decoder of the DENSE codec for one instruction set (dense_kernel.h): words to tokens, of
// several chunks side by side, then tokens and raw bits to elements.
#pragma once

#include <algorithm>
#include <optional>

#include "compression/simd/bit_stream.h"
#include "compression/simd/dense_blocks.h"
#include "compression/simd/dense_stream.h"
#include "compression/simd/walk.h"

namespace encke::simd {
namespace {

// A stream on its way to tokens.
template <typename Rans>
struct ChunkDecoder {
  uint8_t* tokens;  // whole blocks, and before them the token of 0 as far as neighbours reach
  int64_t elements;
  const uint8_t *words = nullptr, *words_end = nullptr;
  uint64_t escapes = 0;
  typename Rans::State state = Rans::Start();

  ChunkDecoder(uint8_t* scratch, int64_t count, const DenseNeighbours& neighbours, uint8_t zero)
      : tokens(scratch + neighbours.left), elements(count) {
    std::memset(scratch, zero, neighbours.left);
    // The last block's tokens are not all decoded.
    const int64_t last = elements / kBlockElements * kBlockElements;
    if (last < elements) std::memset(tokens + last, 0, kBlockElements);
  }

  bool ReadHead(const DecodeJob& job) {
    const uint8_t* in = job.stream;
    const uint8_t* const end = job.stream + job.size;
    uint64_t count;
    if (!ReadVarint(&in, end, &count) || !ReadVarint(&in, end, &escapes)) return false;
    const auto limit = static_cast<uint64_t>(job.size);
    if (count > limit || escapes > limit) return false;
    if (end - in < static_cast<int64_t>(kLanes * 4 + 2 * count)) return false;
    state = Rans::Load(in);
    words = in + kLanes * 4;
    words_end = words + 2 * count;
    return true;
  }
};

// The tokens of N chunks side by side, from element `first` to before `end`, where a group begins.
template <int N, typename Rans>
ENCKE_INLINE bool DecodeGroups(int64_t first, int64_t end, const DenseNeighbours& neighbours,
                               const ContextRule& rule, const Rans& rans,
                               ChunkDecoder<Rans>* const* chunks) {
  constexpr int kWide = Rans::WideContexts::kElements, kStride = N * kLanes;
  alignas(64) uint8_t contexts[kWide / kLanes * kStride];  // of each group, chunk after chunk
  uint8_t* tokens[N];
  const uint8_t *words[N], *ends[N];
  typename Rans::State states[N];
  for (int n = 0; n < N; ++n) {
    tokens[n] = chunks[n]->tokens + first;
    words[n] = chunks[n]->words;
    ends[n] = chunks[n]->words_end;
    states[n] = chunks[n]->state;
  }
  for (int64_t i = first; i < end;) {
    // Contexts of several groups at a time where their neighbours are known.
    TokenNeighbours near[N];
    for (int n = 0; n < N; ++n) near[n] = Near(chunks[n]->tokens, i, neighbours);
    int groups = 1;
    if (neighbours.left >= kWide && end - i >= kWide && neighbours.AlikeFor(i, kWide)) {
      groups = kWide / kLanes;
      Rans::WideContexts::Contexts(near, rule, contexts);
    } else {
      Rans::NarrowContexts::Contexts(near, rule, contexts);
    }
    i += groups * kLanes;
    bool far = true;
    for (int n = 0; n < N; ++n) far &= ends[n] - words[n] >= groups * kLanes * 2;
    for (int g = 0; g < groups; ++g) {
      const uint8_t* own = contexts + g * kStride;
      if (far) {
        rans.template Get<true>(own, states, tokens, words, ends);
      } else if (!rans.template Get<false>(own, states, tokens, words, ends)) {
        return false;
      }
      for (int n = 0; n < N; ++n) tokens[n] += kLanes;
    }
  }
  for (int n = 0; n < N; ++n) {
    chunks[n]->words = words[n];
    chunks[n]->state = states[n];
  }
  return true;
}

// All tokens of N chunks: side by side what all of them have.
template <int N, typename Rans>
bool DecodeTokens(const DenseNeighbours& neighbours, const ContextRule& rule, const Rans& rans,
                  ChunkDecoder<Rans>* const* chunks) {
  int64_t common = chunks[0]->elements;
  for (int n = 1; n < N; ++n) common = std::min(common, chunks[n]->elements / kLanes * kLanes);
  if (!DecodeGroups<N>(0, common, neighbours, rule, rans, chunks)) return false;
  const int64_t rest = (common + kLanes - 1) / kLanes * kLanes;
  for (int n = 0; n < N; ++n) {
    ChunkDecoder<Rans>& chunk = *chunks[n];
    if (!DecodeGroups<1>(rest, chunk.elements, neighbours, rule, rans, chunks + n)) return false;
    if (chunk.words != chunk.words_end || !Rans::AtStart(chunk.state)) return false;
  }
  return true;
}

// All tokens of some chunks, N at a time where there are as many.
template <int N, typename Rans>
bool DecodeTokensOf(int count, const DenseNeighbours& neighbours, const ContextRule& rule,
                    const Rans& rans, ChunkDecoder<Rans>* const* chunks) {
  static_assert((N & (N - 1)) == 0 && N <= kDenseDecodedTogether);
  for (; count >= N; count -= N, chunks += N) {
    if (!DecodeTokens<N>(neighbours, rule, rans, chunks)) return false;
  }
  if constexpr (N > 1) return DecodeTokensOf<N / 2>(count, neighbours, rule, rans, chunks);
  return true;
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
template <typename Blocks, typename T, QuantizerMode kMode>
bool Reconstruct(const DecodeJob& job, DenseRules rules, uint8_t* tokens, BitReader& reader) {
  T* data = static_cast<T*>(job.data);
  TableCursor cursor(job.tables);
  const TokenCodes<kMode> token_codes(rules);
  for (int64_t begin = 0; begin < job.elements; begin += kBlockElements, cursor.Next()) {
    const int64_t left = job.elements - begin;
    T padded[kBlockElements];
    const bool good = Blocks::template Restore<kMode>(
        tokens + begin, token_codes, rules, ValidElements(left), cursor.At<kMode>(), reader,
        left >= kBlockElements ? data + begin : padded);
    if (!good || !reader.ok()) return false;
    if (left < kBlockElements) std::memcpy(data + begin, padded, left * sizeof(T));
  }
  return reader.AtEnd();
}

// What follows the words.
template <typename Blocks, typename Rans, typename T, QuantizerMode kMode>
bool FinishChunk(const DecodeJob& job, const DenseTables& tables, const ChunkDecoder<Rans>& chunk) {
  const uint8_t* const end = job.stream + job.size;
  const uint8_t* list = chunk.words_end;
  // The escapes are read twice: once to find the bit stream behind them, once in their places.
  const uint8_t* bits = list;
  T* data = static_cast<T*>(job.data);
  if (!ReadEscapeList(&bits, end, chunk.escapes, job.elements, data)) return false;
  BitReader reader(bits, end - bits);
  if (!Reconstruct<Blocks, T, kMode>(job, tables, chunk.tokens, reader)) return false;
  return ReadEscapeList(&list, end, chunk.escapes, job.elements, data);
}

template <typename Blocks, typename Rans, typename T, QuantizerMode kMode>
bool DecodeDenseAs(const DecodeJob* jobs, int count, const DenseShape& shape,
                   const DenseTables& tables, uint8_t* const* scratch) {
  const DenseNeighbours neighbours = NeighboursOf(shape.channels, shape.width);
  std::optional<ChunkDecoder<Rans>> decoders[kDenseDecodedTogether];
  ChunkDecoder<Rans>* chunks[kDenseDecodedTogether] = {};
  for (int i = 0; i < count; ++i) {
    chunks[i] = &decoders[i].emplace(scratch[i], jobs[i].elements, neighbours, tables.rule.zero);
    if (!chunks[i]->ReadHead(jobs[i])) return false;
  }
  if (!DecodeTokensOf<Rans::kGetTogether>(count, neighbours, tables.rule, Rans(tables), chunks))
    return false;
  for (int i = 0; i < count; ++i) {
    if (!FinishChunk<Blocks, Rans, T, kMode>(jobs[i], tables, *chunks[i])) return false;
  }
  return true;
}

}  // namespace
}  // namespace encke::simd
