// A whole chunk of FAST by four warps, each of which has a quarter of its blocks.
//
// Each warp encodes its part into a window of its own in shared memory. When all have, the chunk's
// size is known, it gets its place, and the windows are moved there. Where one was too small, all
// is done once more, window by window of the stream itself.
#pragma once

#include "compression/cuda/fast_encoder.h"

namespace encke::cuda {

// A stream of kind COPY: the elements' bytes, one byte further on.
template <typename Warp, typename T>
ENCKE_WARP_CODE ENCKE_NOINLINE void WriteCopy(Warp warp, const T* data, ByteSink sink) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(data);
  warp.Each([&](int lane) {
    for (uint32_t word = lane; word * 4 < sink.end; word += kWarpLanes) {
      uint32_t value = 0;
      for (uint32_t i = 0; i < 4 && word * 4 + i < sink.end; ++i) {
        const uint32_t at = word * 4 + i;
        const uint8_t byte = at == 0 ? static_cast<uint8_t>(HeadByte::COPY) : bytes[at - 1];
        value |= static_cast<uint32_t>(byte) << 8 * i;
      }
      sink.StoreWord(word, value);
    }
  });
}

// Of the finite elements, where floats overflow.
template <typename Warp, typename T>
ENCKE_WARP_CODE ENCKE_NOINLINE double SumOfSquares(Warp warp, const T* data, uint32_t elements) {
  typename Warp::template PerLane<double> squares;
  warp.Each([&](int lane) {
    squares[lane] = 0;
    for (uint32_t i = lane; i < elements; i += kWarpLanes) {
      const double x = Widen(data[i]);
      if (fabs(x) < INFINITY) squares[lane] += x * x;
    }
  });
  return warp.Sum(squares);
}

// 32 bits from bit 32 * `word` on of the parts' bits one behind the other, the first one's at bit
// `begin`.
template <typename Memory>
ENCKE_WARP_CODE uint32_t JoinedWord(const Memory& memory, uint32_t begin, uint32_t word) {
  uint32_t joined = 0;
  const uint32_t* window = memory.windows;
  for (const auto& part : memory.parts) {
    const int32_t from = static_cast<int32_t>(32 * word - begin);  // bit of the part
    const int32_t index = from >> 5, end = static_cast<int32_t>(part.bits);
    if (from > -32 && from < end) {
      const uint32_t low = index >= 0 ? window[index] : 0;
      const uint32_t high = 32 * (index + 1) < end ? window[index + 1] : 0;
      joined |= FunnelRight(low, high, static_cast<uint32_t>(from));
    }
    begin += part.bits;
    window += Memory::kWindowWords;
  }
  return joined;
}

// A warp's share of it.
template <typename Memory, typename Warp>
ENCKE_WARP_CODE void ClearWindows(Warp& warp, int part, Memory* memory) {
  auto* quads = reinterpret_cast<Quad<uint32_t>*>(memory->windows);
  constexpr uint32_t kQuads = Memory::kWindowWords / kQuad;
  warp.Each([&](int lane) {
    for (uint32_t i = lane; i < kQuads; i += kWarpLanes) quads[part * kQuads + i] = {};
  });
}

// What lies in the windows of all parts, to the stream.
template <typename Crew, typename T, typename Rule>
ENCKE_WARP_CODE void WriteParts(Crew& crew, const FastEncodeJob<T, Rule>& job, const ByteSink& sink,
                                uint16_t* marks) {
  using Warp = typename Crew::Warp;
  const auto& memory = *job.memory;
  auto* out = reinterpret_cast<uint8_t*>(sink.words);
  crew.EachWarp([&](Warp& warp, int part) {
    const uint32_t first = job.FirstStep(part), steps = job.FirstStep(part + 1) - first;
    const uint32_t nibbles = Least(2 * steps, BitsBegin(job.elements) - kHeadBytes - 2 * first);
    const uint32_t segments = CeilDivide(steps * kOctets, kSegmentBlocks);
    warp.Locally([&](int lane) {
      for (uint32_t i = lane; i < nibbles; i += kWarpLanes) {
        out[kHeadBytes + 2 * first + i] = memory.parts[part].nibbles[i];
      }
      for (uint32_t i = lane; marks != nullptr && i < segments; i += kWarpLanes) {
        marks[first * kOctets / kSegmentBlocks + i] = memory.parts[part].marks[i];
      }
      const uint32_t end = CeilDivide(sink.end, 4);
      for (uint32_t word = sink.begin / 4 + part * kWarpLanes + lane; word < end;
           word += kCrewWarps * kWarpLanes) {
        sink.StoreWord(word, JoinedWord(memory, sink.begin * 8, word));
      }
    });
  });
}

// In shared memory, where each part has a window of its own.
template <typename T, typename Rule>
ENCKE_WARP_CODE PartSink SharedSink(const FastEncodeJob<T, Rule>& job, int part) {
  constexpr uint32_t kWords = FastEncodeMemory<T>::kWindowWords;
  auto* own = &job.memory->parts[part];
  return {{job.memory->windows + part * kWords, 0, kWords},
          0,
          job.Kept() ? own->nibbles : nullptr,
          job.Kept() ? own->marks : nullptr,
          true};
}

// In the stream, of which the windows together are what begins with word `first`. Nibbles and marks
// go with the first of it.
template <typename T, typename Rule>
ENCKE_WARP_CODE PartSink StreamSink(const FastEncodeJob<T, Rule>& job, int part,
                                    const ByteSink& sink, uint32_t first, uint16_t* marks) {
  const uint32_t step = job.FirstStep(part);
  const bool once = first == sink.begin / 4;
  auto* out = reinterpret_cast<uint8_t*>(sink.words);
  return {{job.memory->windows, first, kCrewWarps * FastEncodeMemory<T>::kWindowWords},
          job.PartBegin(part),
          once ? out + kHeadBytes + 2 * step : nullptr,
          once && marks != nullptr ? marks + step * kOctets / kSegmentBlocks : nullptr,
          false};
}

// After all parts were encoded: gets the chunk its place, to `sink`. A chunk that coding does not
// pay for is copied. False where nothing is left to be done.
template <typename Crew, typename T, typename Rule, typename Take>
ENCKE_WARP_CODE bool PlaceChunk(Crew& crew, const FastEncodeJob<T, Rule>& job, const Take& take,
                                ByteSink* sink) {
  using Warp = typename Crew::Warp;
  auto* memory = job.memory;
  const bool copied = job.Copied();
  const uint32_t size = copied ? job.CopiedSize() : job.CodedSize();
  crew.EachWarp([&](Warp& warp, int part) {
    if (part != 0) return;
    ChunkStatistics statistics = job.Statistics();
    if (!(statistics.squares < INFINITY)) {
      statistics.squares = SumOfSquares(warp, job.data, job.elements);
    }
    uint8_t* out = take(warp, size, statistics);
    warp.Each([&](int lane) {
      if (lane == 0) memory->out = out;
      if (lane == 0 && out != nullptr && !copied) out[0] = static_cast<uint8_t>(HeadByte::FAST);
    });
  });
  auto* words = reinterpret_cast<uint32_t*>(memory->out);
  *sink = {words, BitsBegin(job.elements), size};
  if (words == nullptr) return false;
  if (!copied) return true;
  crew.EachWarp([&](Warp& warp, int part) {
    if (part == 0) WriteCopy(warp, job.data, {words, 0, size});
  });
  return false;
}

// The windows, from word `first` of the stream on.
template <typename Crew, typename Memory>
ENCKE_WARP_CODE void WriteWindows(Crew& crew, const Memory& memory, const ByteSink& sink,
                                  uint32_t first) {
  using Warp = typename Crew::Warp;
  const uint32_t all = kCrewWarps * Memory::kWindowWords;
  const uint32_t count = Least(CeilDivide(sink.end, 4) - first, all);
  crew.EachWarp([&](Warp& warp, int part) {
    warp.Locally([&](int lane) {
      for (uint32_t i = part * kWarpLanes + lane; i < count; i += kCrewWarps * kWarpLanes) {
        sink.StoreWord(first + i, memory.windows[i]);
      }
    });
  });
}

// Encodes a chunk: in `take(warp, size, statistics)` one of the warps gets the memory for its
// stream.
template <typename Crew, typename T, typename Rule, typename Take>
ENCKE_WARP_CODE void EncodeFast(Crew& crew, const FastEncodeJob<T, Rule>& job, uint16_t* marks,
                                const Take& take) {
  using Warp = typename Crew::Warp;
  using Memory = FastEncodeMemory<T>;
  ByteSink sink = {};  // none yet
  uint32_t first = 0;  // word of the stream, then
  do {
    const bool placed = sink.words != nullptr;
    crew.EachWarp([&](Warp& warp, int part) { ClearWindows<Memory>(warp, part, job.memory); });
    crew.EachWarp([&](Warp& warp, int part) {
      const PartSink to =
          placed ? StreamSink(job, part, sink, first, marks) : SharedSink(job, part);
      FastEncoder<Warp, T, Rule>(warp, job, part).Encode(to);
    });
    if (placed) {
      WriteWindows(crew, *job.memory, sink, first);
      first += kCrewWarps * Memory::kWindowWords;
    } else {
      if (!PlaceChunk(crew, job, take, &sink)) return;
      if (job.AllInWindows()) return WriteParts(crew, job, sink, marks);
      first = sink.begin / 4;
    }
  } while (first < CeilDivide(sink.end, 4));
}

}  // namespace encke::cuda
