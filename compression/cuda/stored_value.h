// A stored value as the kernels see it, and how their warps encode and decode its chunks.
//
// In the arena a value is: one StoredChunk for each chunk; marks, where kept (fast_stream.h); the
// chunks' streams in the order in which warps finished them. Where it begins only the device knows.
#pragma once

#include "compression/chunking.h"
#include "compression/cuda/dense_decoder.h"
#include "compression/cuda/dense_encoder.h"
#include "compression/cuda/fast_chunk.h"
#include "compression/cuda/fast_decoder.h"
#include "engine/core/dtype.h"

namespace encke::cuda {

// What the device finds out about a value; read back by the host when it is convenient.
struct ValueRecord {
  uint64_t begin;  // where the value begins in its arena, and where it ends
  uint64_t end;
  int64_t nonzero;  // as in EncodeStatistics
  int64_t escapes;
  double squares;
  uint32_t overflowed;  // not 0: the arena was full, the value is lost
  uint32_t broken;      // the least chunk that could not be decoded; ~0: none
};

struct StoredValueView {
  DeviceArena arena;
  ValueRecord* record;
  Chunking chunking;
  uint32_t segments;            // marks kept for each chunk; 0: none
  ChunkStatistics* statistics;  // scratch memory, one a chunk; for encoding

  // Of chunk table and marks.
  ENCKE_INLINE_MEMBER static uint64_t TableBytes(uint64_t chunks, uint32_t segments) {
    return AlignChunk(chunks * (sizeof(StoredChunk) + segments * sizeof(uint16_t)));
  }

  ENCKE_WARP_CODE StoredChunk* chunks() const {
    const uint64_t bytes = TableBytes(static_cast<uint64_t>(chunking.count()), segments);
    return reinterpret_cast<StoredChunk*>(arena.At(record->begin, bytes));
  }
  ENCKE_WARP_CODE uint16_t* marks(uint64_t chunk) const {
    if (segments == 0) return nullptr;
    return reinterpret_cast<uint16_t*>(chunks() + chunking.count()) + chunk * segments;
  }
  ENCKE_WARP_CODE ByteStream stream(uint64_t chunk) const {
    const StoredChunk& stored = chunks()[chunk];
    return {reinterpret_cast<const uint32_t*>(arena.At(stored.offset, stored.size)), stored.size};
  }
  ENCKE_WARP_CODE static uint32_t ElementsOf(const Chunk& chunk) {
    return static_cast<uint32_t>(chunk.shape.elements());
  }
};

// How a value is coded; everything in device memory.
struct DeviceCoding {
  DType dtype;
  QuantizerMode mode;
  const void* tables;  // of RuleTables for the mode's rule
  uint32_t period;
  const DenseTables* dense;  // null: FAST
};

template <typename T, typename Body>
void WithRule(const DeviceCoding& coding, const Body& body) {
  const void* tables = coding.tables;
  const uint32_t period = coding.period;
  switch (coding.mode) {
    case QuantizerMode::SIGNED:
      return body(T(), RuleTables<SignedRule>{static_cast<const UniformTable*>(tables), period});
    case QuantizerMode::MASK:
      return body(T(), RuleTables<MaskRule>{static_cast<const UniformTable*>(tables), period});
    case QuantizerMode::ACTIVITY:
      return body(T(), RuleTables<ActivityRule>{static_cast<const ActivityTable*>(tables), period});
  }
}
// Calls body(T(), RuleTables<Rule>) with the types that the coding is for.
template <typename Body>
void WithTypes(const DeviceCoding& coding, const Body& body) {
  coding.dtype == DType::F32 ? WithRule<float>(coding, body) : WithRule<uint16_t>(coding, body);
}

// What is to be decoded: elements [first, end) of the value, which lie in chunks [first_chunk,
// end_chunk), to `out`.
struct DecodeSpan {
  void* out;
  int64_t first, end;
  uint64_t first_chunk, end_chunk;
};

// Reserves the tables of a value. To be done by one thread, before the chunks are encoded.
ENCKE_WARP_CODE inline void BeginValue(const StoredValueView& view) {
  const uint64_t bytes =
      StoredValueView::TableBytes(static_cast<uint64_t>(view.chunking.count()), view.segments);
  const uint64_t begin = *view.arena.used;
  *view.arena.used = begin + bytes;
  *view.record = {begin, 0, 0, 0, 0, begin + bytes > view.arena.capacity, ~uint32_t{0}};
}

// Encodes chunk `index`. With `only_missing`, only where another codec left it out. `extracted`: of
// NibbleTable::Extracted, as `deposited` below.
template <typename Crew, typename T, typename Rule>
ENCKE_WARP_CODE void EncodeFastChunk(Crew& crew, const StoredValueView& view, const T* value,
                                     const RuleTables<Rule>& rules, const NibbleTable& extracted,
                                     uint64_t index, bool only_missing,
                                     FastEncodeMemory<T>* memory) {
  using Warp = typename Crew::Warp;
  // Others may set it meanwhile: all warps are to see the same.
  crew.EachWarp([&](Warp& warp, int part) {
    const bool skipped =
        view.record->overflowed != 0 || (only_missing && view.chunks()[index].size != 0);
    warp.Each([&](int lane) {
      if (part == 0 && lane == 0) memory->skipped = skipped;
    });
  });
  if (memory->skipped) return;
  const Chunk chunk = view.chunking.At(static_cast<int64_t>(index));
  const FastEncodeJob<T, Rule> job = {value + chunk.offset, StoredValueView::ElementsOf(chunk),
                                      rules, &extracted, memory};
  EncodeFast(crew, job, view.marks(index),
             [&](Warp& warp, uint32_t size, const ChunkStatistics& statistics) {
               StoredChunk stored;
               uint8_t* out = view.arena.Take(warp, size, &stored);
               warp.Each([&](int lane) {
                 if (lane != 0) return;
                 view.statistics[index] = statistics;
                 view.chunks()[index] = stored;
                 if (out == nullptr) view.record->overflowed = 1;
               });
               return out;
             });
}

// Encodes chunks `index` and `index` + 1, if there; leaves out (size 0) those that do not pay.
// `scratch`: DenseScratch::Bytes of the largest chunk for each of the two.
template <typename Warp, typename T, typename Rule>
ENCKE_WARP_CODE void EncodeDensePair(Warp& warp, const StoredValueView& view, const T* value,
                                     const RuleTables<Rule>& rules, const DenseTables& tables,
                                     uint64_t index, uint8_t* scratch, DenseEncodeMemory* memory) {
  if (view.record->overflowed != 0) return;
  const Shape largest = view.chunking.Largest();
  const uint64_t stride = DenseScratch::Bytes(static_cast<uint32_t>(largest.elements()));
  DenseEncodeJob<T> jobs[kTeams] = {};
  for (int team = 0; team < kTeams; ++team) {
    if (index + team >= static_cast<uint64_t>(view.chunking.count())) break;
    const Chunk chunk = view.chunking.At(static_cast<int64_t>(index) + team);
    jobs[team] = {value + chunk.offset, StoredValueView::ElementsOf(chunk),
                  scratch + team * stride};
  }
  DenseEncoder<Warp, T, Rule> encoder(warp, jobs[0], jobs[1], {largest.c, largest.w}, rules, tables,
                                      memory);
  encoder.Measure();
  typename Warp::template PerLane<uint8_t*> out;
  warp.Each([&](int lane) { out[lane] = nullptr; });
  for (int team = 0; team < kTeams; ++team) {
    if (jobs[team].elements == 0) break;
    const uint32_t size = warp.Broadcast(encoder.size(), team * kTeamLanes);
    StoredChunk stored = {};
    uint8_t* place = size > 0 ? view.arena.Take(warp, size, &stored) : nullptr;
    ChunkStatistics statistics = encoder.Statistics(team);
    if (!(statistics.squares < INFINITY)) {
      statistics.squares = SumOfSquares(warp, jobs[team].data, jobs[team].elements);
    }
    warp.Each([&](int lane) {
      if (TeamOf(lane) == team) out[lane] = place;
      if (lane != 0) return;
      view.statistics[index + team] = statistics;
      view.chunks()[index + team] = stored;
      if (size > 0 && place == nullptr) view.record->overflowed = 1;
    });
  }
  encoder.Write(out);
}

// What a decoding kernel is asked for: the elements of `target`, which lie in these chunks.
template <typename T>
struct DecodeRequest {
  DecodeTarget<T> target;
  uint64_t first_chunk, end_chunk;
};

// Segment `index` of the chunks from request.first_chunk on, each with view.segments of them; no
// blocks where the chunk has fewer, or is of another kind. False when the stream is too short.
template <typename T>
ENCKE_WARP_CODE bool OpenSegment(const StoredValueView& view, const DecodeRequest<T>& request,
                                 uint32_t index, BlockRun* run) {
  *run = {};
  const uint64_t chunk_index = request.first_chunk + index / view.segments;
  const uint32_t number = index % view.segments;
  if (chunk_index >= request.end_chunk) return true;
  run->index = static_cast<uint32_t>(chunk_index);
  const ByteStream stream = view.stream(chunk_index);
  const Chunk chunk = view.chunking.At(static_cast<int64_t>(chunk_index));
  const uint32_t elements = StoredValueView::ElementsOf(chunk), blocks = BlocksOf(elements);
  const uint32_t block = number * kSegmentBlocks;
  const bool fast = stream.size > 0 && stream.Byte(0) == static_cast<uint8_t>(HeadByte::FAST);
  if (!fast || block >= blocks) return true;
  if (BitsBegin(elements) > stream.size) return false;
  const uint16_t* marks = view.marks(chunk_index);
  uint32_t position = BitsBegin(elements) * 8;
  for (uint32_t i = 0; i < number; ++i) position += marks[i];
  *run = {stream,
          chunk.offset,
          elements,
          block,
          Least(block + kSegmentBlocks, blocks),
          position,
          position + marks[number],
          run->index};
  return true;
}

// Decodes the four segments from `first` on of a value with marks: its FAST chunks only. A value
// has no more than 2^32 segments.
template <typename Warp, typename T, typename Rule>
ENCKE_WARP_CODE void DecodeSegments(Warp& warp, const StoredValueView& view,
                                    const RuleTables<Rule>& rules, const NibbleTable& deposited,
                                    const DecodeRequest<T>& request, uint32_t first,
                                    FastDecodeMemory* memory) {
  typename Warp::template PerLane<BlockRun> runs;
  typename Warp::template PerLane<bool> opened;
  warp.Locally([&](int lane) {
    opened[lane] =
        OpenSegment(view, request, first + static_cast<uint32_t>(OctetOf(lane)), &runs[lane]);
  });
  FastDecoder<Warp, T, Rule> decoder(warp, rules, deposited, request.target, memory);
  const typename Warp::template PerLane<bool> good = decoder.Decode(runs);
  warp.Locally([&](int lane) {
    if (!opened[lane] || !good[lane]) AtomicLeast(&view.record->broken, runs[lane].index);
  });
}

// Decodes chunks `index` and `index` + 1 where they are of kind DENSE. `scratch`: a byte for each
// element of the largest chunk, rounded up to whole blocks, for each of the two.
template <typename Warp, typename T, typename Rule>
ENCKE_WARP_CODE void DecodeDensePair(Warp& warp, const StoredValueView& view,
                                     const RuleTables<Rule>& rules, const DenseTables& tables,
                                     const DecodeRequest<T>& request, uint64_t index,
                                     uint8_t* scratch) {
  const Shape largest = view.chunking.Largest();
  const uint64_t stride =
      uint64_t{DenseBlocks(static_cast<uint32_t>(largest.elements()))} * kBlockElements;
  DenseDecodeJob jobs[kTeams] = {};
  for (int team = 0; team < kTeams; ++team) {
    if (index + team >= request.end_chunk) break;
    const ByteStream stream = view.stream(index + team);
    if (stream.size == 0 || stream.Byte(0) != static_cast<uint8_t>(HeadByte::DENSE)) continue;
    const Chunk chunk = view.chunking.At(static_cast<int64_t>(index) + team);
    jobs[team] = {stream, chunk.offset, StoredValueView::ElementsOf(chunk),
                  scratch + team * stride};
  }
  DenseDecoder<Warp, T, Rule> decoder(warp, jobs[0], jobs[1], {largest.c, largest.w}, rules, tables,
                                      request.target);
  const typename Warp::template PerLane<bool> good = decoder.Decode();
  warp.Each([&](int lane) {
    if (!good[lane]) {
      AtomicLeast(&view.record->broken, static_cast<uint32_t>(index + TeamOf(lane)));
    }
  });
}

// The elements of a chunk that was copied. False when its length is wrong.
template <typename Warp, typename T>
ENCKE_WARP_CODE bool DecodeCopy(Warp& warp, const ByteStream& stream, int64_t chunk,
                                uint32_t elements, const DecodeTarget<T>& target) {
  if (stream.size != kHeadBytes + elements * sizeof(T)) return false;
  warp.Each([&](int lane) {
    for (uint32_t i = lane; i < elements; i += kWarpLanes) {
      uint32_t bits = 0;
      for (uint32_t k = 0; k < sizeof(T); ++k) {
        bits |= stream.Byte(kHeadBytes + i * static_cast<uint32_t>(sizeof(T)) + k) << 8 * k;
      }
      const int64_t element = chunk + i;
      if (element >= target.first && element < target.end) {
        SetBits(bits, target.data + (element - target.first));
      }
    }
  });
  return true;
}

// Decodes chunk `index` if none of the other two does: copied ones, and FAST without marks.
// `dense`: whether the value has DENSE chunks.
template <typename Warp, typename T, typename Rule>
ENCKE_WARP_CODE void DecodeRest(Warp& warp, const StoredValueView& view,
                                const RuleTables<Rule>& rules, const NibbleTable& deposited,
                                const DecodeRequest<T>& request, bool dense, uint64_t index,
                                FastDecodeMemory* memory) {
  const ByteStream stream = view.stream(index);
  const auto head = static_cast<HeadByte>(stream.size > 0 ? stream.Byte(0) : 0);
  if (head == HeadByte::FAST && view.segments > 0) return;
  if (head == HeadByte::DENSE && dense) return;
  const Chunk chunk = view.chunking.At(static_cast<int64_t>(index));
  const uint32_t elements = StoredValueView::ElementsOf(chunk);
  bool good = false;
  if (head == HeadByte::COPY) {
    good = DecodeCopy(warp, stream, chunk.offset, elements, request.target);
  } else if (head == HeadByte::FAST) {
    FastDecoder<Warp, T, Rule> decoder(warp, rules, deposited, request.target, memory);
    good = decoder.DecodeChunk(stream, chunk.offset, elements);
  }
  warp.Each([&](int lane) {
    if (lane == 0 && !good) {
      AtomicLeast(&view.record->broken, static_cast<uint32_t>(index));
    }
  });
}

}  // namespace encke::cuda
