#include "tests/compression/cuda/emulation.h"

#include <cmath>
#include <cstring>

#include "compression/cuda/dense_decoder.h"
#include "compression/cuda/dense_encoder.h"
#include "compression/cuda/fast_chunk.h"
#include "compression/cuda/fast_decoder.h"
#include "compression/dense_tables.h"

namespace encke::testing {
namespace {

using cuda::EmulatedWarp;
// A value's quantiser as the kernels read it, without tables of DENSE.
class HostCoding {
 public:
  HostCoding(DType dtype, const ValueCoding& coding)
      : tables_(cuda::PackTables(coding.quantizer)),
        coding_{dtype, coding.quantizer.mode(), tables_.bytes.data(), tables_.period, nullptr} {}
  const cuda::DeviceCoding& get() const { return coding_; }

 private:
  cuda::PackedTables tables_;
  cuda::DeviceCoding coding_;
};

template <typename Entry>
cuda::NibbleTable TableOf(const Entry& entry) {
  cuda::NibbleTable table;
  for (uint32_t i = 0; i < cuda::NibbleTable::kEntries; ++i)
    table.entries[i] = entry(i / 16, i % 16);
  return table;
}
const cuda::NibbleTable& Deposited() {
  static const cuda::NibbleTable table = TableOf(
      [](uint32_t active, uint32_t bits) { return cuda::NibbleTable::Deposited(active, bits); });
  return table;
}
const cuda::NibbleTable& Extracted() {
  static const cuda::NibbleTable table = TableOf(
      [](uint32_t active, uint32_t bits) { return cuda::NibbleTable::Extracted(active, bits); });
  return table;
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
  const HostCoding host(dtype, coding);
  const auto elements = static_cast<uint32_t>(shape.elements());
  Emulated result;
  WithTypes(host.get(), [&](auto t, auto rules) {
    using T = decltype(t);
    using Rule = typename decltype(rules)::RuleType;
    cuda::EmulatedCrew crew(backwards);
    const auto memory = std::make_unique<cuda::FastEncodeMemory<T>>();
    const cuda::FastEncodeJob<T, Rule> job = {static_cast<const T*>(data), elements, rules,
                                              &Extracted(), memory.get()};
    AlignedBytes stream(0);
    result.marks.resize(cuda::SegmentsOf(elements));
    cuda::EncodeFast(crew, job, result.marks.data(),
                     [&](EmulatedWarp&, uint32_t size, const cuda::ChunkStatistics& statistics) {
                       stream = AlignedBytes(size);
                       result.statistics = ToStatistics(statistics, elements);
                       return stream.data();
                     });
    result.stream = stream.ToVector();
  });
  return result;
}

EmulatedElements EmulateFastDecode(const std::vector<uint8_t>& stream, DType dtype,
                                   const Shape& shape, const ValueCoding& coding, bool backwards) {
  const HostCoding host(dtype, coding);
  const AlignedBytes bytes(stream);
  EmulatedElements result;
  WithTypes(host.get(), [&](auto t, auto rules) {
    using T = decltype(t);
    using Rule = typename decltype(rules)::RuleType;
    EmulatedWarp warp(backwards);
    const auto memory = std::make_unique<cuda::FastDecodeMemory>();
    const AlignedBytes out(shape.elements() * static_cast<int64_t>(sizeof(T)));
    cuda::FastDecoder<EmulatedWarp, T, Rule> decoder(
        warp, rules, Deposited(), {reinterpret_cast<T*>(out.data()), 0, shape.elements()},
        memory.get());
    const bool good = decoder.DecodeChunk(
        {reinterpret_cast<const uint32_t*>(bytes.data()), static_cast<uint32_t>(stream.size())}, 0,
        static_cast<uint32_t>(shape.elements()));
    result = {good, out.ToVector()};
  });
  return result;
}

std::vector<Emulated> EmulateDenseEncode(const std::vector<const void*>& data, DType dtype,
                                         const Shape& shape, const ValueCoding& coding,
                                         bool backwards) {
  const HostCoding host(dtype, coding);
  const simd::DenseTables dense = ExpandDenseTables(coding.tables);
  const auto elements = static_cast<uint32_t>(shape.elements());
  std::vector<Emulated> results(data.size());
  WithTypes(host.get(), [&](auto t, auto rules) {
    using T = decltype(t);
    using Rule = typename decltype(rules)::RuleType;
    EmulatedWarp warp(backwards);
    cuda::DenseEncodeMemory memory;
    std::vector<AlignedBytes> scratch;
    cuda::DenseEncodeJob<T> jobs[cuda::kTeams] = {};
    for (size_t i = 0; i < data.size(); ++i) {
      scratch.emplace_back(cuda::DenseScratch::Bytes(elements));
      jobs[i] = {static_cast<const T*>(data[i]), elements, scratch.back().data()};
    }
    cuda::DenseEncoder<EmulatedWarp, T, Rule> encoder(warp, jobs[0], jobs[1], {shape.c, shape.w},
                                                      rules, dense, &memory);
    encoder.Measure();
    std::vector<AlignedBytes> streams;
    EmulatedWarp::PerLane<uint8_t*> out{};
    for (size_t i = 0; i < data.size(); ++i) {
      const int lane = static_cast<int>(i) * cuda::kTeamLanes;
      streams.emplace_back(encoder.size()[lane]);
      for (int k = 0; k < cuda::kTeamLanes; ++k) {
        out[lane + k] = encoder.size()[lane] > 0 ? streams[i].data() : nullptr;
      }
    }
    encoder.Write(out);
    for (size_t i = 0; i < data.size(); ++i) {
      results[i].stream = streams[i].ToVector();
      cuda::ChunkStatistics sum = encoder.Statistics(static_cast<int>(i));
      if (std::isinf(sum.squares)) sum.squares = cuda::SumOfSquares(warp, jobs[i].data, elements);
      results[i].statistics = ToStatistics(sum, elements);
    }
  });
  return results;
}

std::vector<EmulatedElements> EmulateDenseDecode(const std::vector<std::vector<uint8_t>>& streams,
                                                 DType dtype, const Shape& shape,
                                                 const ValueCoding& coding, bool backwards) {
  const HostCoding host(dtype, coding);
  const simd::DenseTables dense = ExpandDenseTables(coding.tables);
  const int64_t elements = shape.elements();
  std::vector<EmulatedElements> results;
  WithTypes(host.get(), [&](auto t, auto rules) {
    using T = decltype(t);
    using Rule = typename decltype(rules)::RuleType;
    EmulatedWarp warp(backwards);
    std::vector<AlignedBytes> bytes, scratch;
    cuda::DenseDecodeJob jobs[cuda::kTeams] = {};
    for (size_t i = 0; i < streams.size(); ++i) {
      bytes.emplace_back(streams[i]);
      scratch.emplace_back((elements + 63) / 64 * 64);
      jobs[i] = {{reinterpret_cast<const uint32_t*>(bytes.back().data()),
                  static_cast<uint32_t>(streams[i].size())},
                 static_cast<int64_t>(i) * elements,
                 static_cast<uint32_t>(elements),
                 scratch.back().data()};
    }
    const int64_t count = static_cast<int64_t>(streams.size());
    const int64_t chunk_bytes = elements * static_cast<int64_t>(sizeof(T));
    const AlignedBytes out(count * chunk_bytes);
    cuda::DenseDecoder<EmulatedWarp, T, Rule> decoder(
        warp, jobs[0], jobs[1], {shape.c, shape.w}, rules, dense,
        {reinterpret_cast<T*>(out.data()), 0, count * elements});
    const auto good = decoder.Decode();
    for (int64_t i = 0; i < count; ++i) {
      const uint8_t* begin = out.data() + i * chunk_bytes;
      results.push_back({good[i * cuda::kTeamLanes], {begin, begin + chunk_bytes}});
    }
  });
  return results;
}

void EmulateEncode(const cuda::StoredValueView& view, const void* value,
                   const cuda::DeviceCoding& coding, bool backwards) {
  const auto chunks = static_cast<uint64_t>(view.chunking.count());
  const auto largest = static_cast<uint32_t>(view.chunking.Largest().elements());
  cuda::BeginValue(view);
  WithTypes(coding, [&](auto t, auto rules) {
    using T = decltype(t);
    using Rule = typename decltype(rules)::RuleType;
    const T* data = static_cast<const T*>(value);
    EmulatedWarp warp(backwards);
    if (coding.dense != nullptr) {
      const AlignedBytes scratch(cuda::kTeams *
                                 static_cast<int64_t>(cuda::DenseScratch::Bytes(largest)));
      cuda::DenseEncodeMemory memory;
      for (uint64_t i = 0; i < chunks; i += cuda::kTeams) {
        cuda::EncodeDensePair<EmulatedWarp, T, Rule>(warp, view, data, rules, *coding.dense, i,
                                                     scratch.data(), &memory);
      }
    }
    const auto memory = std::make_unique<cuda::FastEncodeMemory<T>>();
    cuda::EmulatedCrew crew(backwards);
    for (uint64_t i = 0; i < chunks; ++i) {
      cuda::EncodeFastChunk<cuda::EmulatedCrew, T, Rule>(crew, view, data, rules, Extracted(), i,
                                                         coding.dense != nullptr, memory.get());
    }
  });
  for (uint64_t i = 0; i < chunks && view.record->overflowed == 0; ++i) {
    view.record->nonzero += view.statistics[i].nonzero;
    view.record->escapes += view.statistics[i].escapes;
    view.record->squares += view.statistics[i].squares;
  }
  view.record->end = *view.arena.used;
}

void EmulateDecode(const cuda::StoredValueView& view, const cuda::DecodeSpan& span,
                   const cuda::DeviceCoding& coding, bool backwards) {
  const auto largest = static_cast<uint32_t>(view.chunking.Largest().elements());
  WithTypes(coding, [&](auto t, auto rules) {
    using T = decltype(t);
    using Rule = typename decltype(rules)::RuleType;
    const cuda::DecodeRequest<T> request = {
        {static_cast<T*>(span.out), span.first, span.end}, span.first_chunk, span.end_chunk};
    EmulatedWarp warp(backwards);
    const auto memory = std::make_unique<cuda::FastDecodeMemory>();
    if (coding.dense != nullptr) {
      const AlignedBytes scratch(cuda::kTeams *
                                 (cuda::DenseBlocks(largest) * cuda::kBlockElements));
      for (uint64_t i = span.first_chunk; i < span.end_chunk; i += cuda::kTeams) {
        cuda::DecodeDensePair<EmulatedWarp, T, Rule>(warp, view, rules, *coding.dense, request, i,
                                                     scratch.data());
      }
    } else {
      const auto segments =
          static_cast<uint32_t>((span.end_chunk - span.first_chunk) * view.segments);
      for (uint32_t i = 0; i < segments; i += cuda::kOctets) {
        cuda::DecodeSegments<EmulatedWarp, T, Rule>(warp, view, rules, Deposited(), request, i,
                                                    memory.get());
      }
    }
    for (uint64_t i = span.first_chunk; i < span.end_chunk; ++i) {
      cuda::DecodeRest<EmulatedWarp, T, Rule>(warp, view, rules, Deposited(), request,
                                              coding.dense != nullptr, i, memory.get());
    }
  });
}

namespace {

// As the pool does it: marks are for values that are FAST altogether.
uint32_t MarksOf(const Chunking& chunking, const ValueCoding& coding) {
  return coding.tables.empty()
             ? cuda::SegmentsOf(static_cast<uint32_t>(chunking.Largest().elements()))
             : 0;
}

}  // namespace

EmulatedValue::EmulatedValue(const void* data, DType dtype, const Shape& shape,
                             const ValueCoding& coding, int64_t chunk_bytes, uint64_t capacity,
                             bool backwards)
    : dtype_(dtype),
      shape_(shape),
      tables_(cuda::PackTables(coding.quantizer)),
      dense_(coding.tables.empty() ? simd::DenseTables() : ExpandDenseTables(coding.tables)),
      coding_{dtype, coding.quantizer.mode(), tables_.bytes.data(), tables_.period,
              coding.tables.empty() ? nullptr : &dense_},
      backwards_(backwards),
      arena_(static_cast<int64_t>(capacity)),
      view_{{arena_.data(), &used_, capacity},
            &record_,
            Chunking(shape, dtype, chunk_bytes),
            MarksOf(Chunking(shape, dtype, chunk_bytes), coding),
            nullptr} {
  statistics_.resize(view_.chunking.count());
  view_.statistics = statistics_.data();
  EmulateEncode(view_, data, coding_, backwards_);
}

std::vector<uint8_t> EmulatedValue::Decode(int64_t first, int64_t count) {
  const int64_t sample = shape_.sample();
  const AlignedBytes out(count * sample * SizeOf(dtype_));
  EmulateDecode(view_,
                {out.data(), first * sample, (first + count) * sample,
                 static_cast<uint64_t>(view_.chunking.ChunkOf(first)),
                 static_cast<uint64_t>(view_.chunking.EndOf(first + count))},
                coding_, backwards_);
  return out.ToVector();
}

EncodeStatistics EmulatedValue::statistics() const {
  EncodeStatistics sum;
  for (const cuda::ChunkStatistics& chunk : statistics_) sum.Add(ToStatistics(chunk, 0));
  sum.elements = shape_.elements();
  return sum;
}

std::vector<uint8_t> EmulatedValue::Stream(int64_t chunk) const {
  const cuda::StoredChunk& stored = view_.chunks()[chunk];
  const uint8_t* begin = arena_.data() + stored.offset;
  return {begin, begin + stored.size};
}

}  // namespace encke::testing
