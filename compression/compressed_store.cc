// The pool: values encoded chunk by chunk, in parallel, into slabs or into a file.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <exception>
#include <map>
#include <memory>

#include "compression/activation_store.h"
#include "compression/chunking.h"
#include "compression/offload_file.h"
#include "compression/slab_pool.h"
#include "compression/value_coding.h"
#include "compression/value_sample.h"
#include "engine/core/error.h"
#include "engine/core/parallel.h"
#include "engine/core/units.h"

namespace encke {
namespace {

// Calls body(thread, i) for every i in [0, count): chunks take differently long, and so do threads,
// so that each takes the next one when it is free. The first exception that one of them throws is
// thrown again when all are done.
template <typename Body>
void ParallelOrThrow(int64_t count, const Body& body) {
  const int64_t threads = std::min<int64_t>(Threads(), count);
  std::vector<std::exception_ptr> failures(threads);
  std::atomic<int64_t> next{0};
  ParallelFor(threads, 1, [&](int64_t thread, int64_t) {
    try {
      for (int64_t i = next++; i < count; i = next++) body(static_cast<int>(thread), i);
    } catch (...) {
      failures[thread] = std::current_exception();
    }
  });
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
}

// Calls body(thread, begin, end) for runs of so many, the last one perhaps shorter, of [0, count).
template <typename Body>
void ParallelRunsOrThrow(int64_t count, int64_t run, const Body& body) {
  ParallelOrThrow((count + run - 1) / run, [&](int thread, int64_t i) {
    body(thread, i * run, std::min((i + 1) * run, count));
  });
}

// Chunks that a thread hands to the codec at a time: each thread is to have something to do.
int64_t TakenTogether(int64_t chunks, int64_t most) {
  chunks = std::max<int64_t>(chunks, 1);
  if (Threads() == 1) return std::min(chunks, most);
  // As many runs for each thread.
  const auto quotient = [](int64_t a, int64_t b) { return (a + b - 1) / b; };
  return quotient(chunks, Threads() * quotient(chunks, Threads() * most));
}

// Chunks of a run that need scratch memory to be decoded: those at the ends of what is wanted, or
// those from a file, of which no more are taken together.
constexpr int64_t kMostInScratch = 2;

// Scratch memory for each thread, kept between calls.
class Scratch {
 public:
  explicit Scratch(Allocator& allocator) : allocator_(allocator) {}

  // REQUIRES: not called while another call's memory is in use.
  void Reserve(int64_t bytes_per_thread) {
    stride_ = RoundUp(bytes_per_thread, 64);
    const int64_t bytes = stride_ * Threads();
    if (buffer_ != nullptr && buffer_->bytes() >= bytes) return;
    buffer_.reset();
    buffer_ = allocator_.Allocate(bytes, MemoryCategory::WORKSPACE);
  }
  uint8_t* Of(int thread) const {
    return static_cast<uint8_t*>(buffer_->data()) + thread * stride_;
  }

 private:
  Allocator& allocator_;
  std::shared_ptr<Buffer> buffer_;
  int64_t stride_ = 0;
};

class CompressedStore : public ActivationStore {
 public:
  CompressedStore(Allocator& allocator, const StoreOptions& options)
      : options_(options), pool_(allocator, options.limit_bytes), scratch_(allocator) {
    if (options.offload || options.spill) {
      file_ = std::make_unique<OffloadFile>(options.offload_folder);
    }
  }

  StoredValue Put(int id, const Tensor& value, const PutOptions& options) override;
  Tensor Get(int id, int64_t first, int64_t count, const Tensor& scratch) override;
  void Release(int id) override;
  void Borrow(std::shared_ptr<Buffer> space) override { pool_.Borrow(std::move(space)); }

  int64_t stored_bytes() const override { return stored_; }
  int64_t offloaded_bytes() const override { return offloaded_; }

 private:
  struct EncodedChunk {
    ChunkSpace* space = nullptr;  // nullptr: not encoded
    ChunkSpace::Piece piece;
  };

  struct Entry {
    Entry(const Tensor& value, const PutOptions& options, const Chunking& cut)
        : name(options.name),
          shape(value.shape()),
          dtype(value.dtype()),
          floor(options.floor),
          codec(FindCodec(options.codec)),
          chunking(cut),
          chunks(cut.count()) {}

    int64_t StoredBytes() const;
    int64_t BytesIn(const ChunkSpace* space) const;
    int64_t LargestDecoded() const { return chunking.Largest().elements() * SizeOf(dtype); }
    // For a chunk of which only a part is wanted, and for an encoded one that is not in memory.
    int64_t DecodingScratch(bool in_memory) const {
      return RoundUp(LargestDecoded() + (in_memory ? 0 : LargestEncoded()), 64);
    }
    int64_t LargestEncoded() const { return codec->MaxEncodedSize(chunking.Largest(), dtype); }

    std::string name;
    Shape shape;
    DType dtype;
    int64_t floor;  // PutOptions
    const Codec* codec;
    std::shared_ptr<const ValueCoding> coding;
    bool owns_coding = true;  // it is counted here
    Chunking chunking;
    std::vector<EncodedChunk> chunks;
  };

  // Scratch for the chunks that are decoded together.
  struct Pieces {
    uint8_t* memory;
    int64_t stride;
  };

  StoredValue PutInPlace(int id, const Tensor& value);
  std::shared_ptr<const ValueCoding> Learn(const Tensor& value, const PutOptions& options,
                                           const Entry& entry) const;
  EncodeStatistics EncodeAll(const Tensor& value, Tier tier, Entry& entry);
  EncodedChunk Keep(const uint8_t* data, int64_t size, Tier tier, const Entry& entry);
  [[noreturn]] void ThrowLimit(int64_t size, const Entry& entry) const;
  void DecodeChunks(const Entry& entry, int64_t begin, int64_t end, int64_t first, int64_t count,
                    const Pieces& scratch, uint8_t* out) const;
  static void DecodeNamed(const Entry& entry, int64_t first, const DecodeRequest* requests,
                          int count);
  void FreeAll(const Entry& entry);
  const Entry& At(int id) const;

  StoreOptions options_;
  SlabPool pool_;
  std::unique_ptr<OffloadFile> file_;  // only if it may be used
  Scratch scratch_;
  std::map<int, Entry> entries_;
  std::map<int, Tensor> in_place_;
  int64_t stored_ = 0;
  int64_t offloaded_ = 0;
};

int64_t CompressedStore::Entry::StoredBytes() const {
  int64_t bytes = sizeof(Entry) + (owns_coding ? coding->bytes() : 0);
  for (const EncodedChunk& chunk : chunks) bytes += chunk.piece.size + sizeof(chunk);
  return bytes;
}

int64_t CompressedStore::Entry::BytesIn(const ChunkSpace* space) const {
  int64_t bytes = 0;
  for (const EncodedChunk& chunk : chunks) bytes += chunk.space == space ? chunk.piece.size : 0;
  return bytes;
}

StoredValue CompressedStore::Put(int id, const Tensor& value, const PutOptions& options) {
  ENCKE_CHECK(value.defined() && entries_.count(id) + in_place_.count(id) == 0, id);
  if (options.tier == Tier::IN_PLACE) return PutInPlace(id, value);
  const auto start = std::chrono::steady_clock::now();
  Entry entry(value, options, Chunking(value.shape(), value.dtype(), options_.chunk_bytes));
  ENCKE_CHECK(entry.codec != nullptr, "codec ", options.codec);
  if (entry.name.empty()) entry.name = std::to_string(id);
  entry.owns_coding = options.learnt == nullptr || *options.learnt == nullptr;
  entry.coding = entry.owns_coding ? Learn(value, options, entry) : *options.learnt;
  if (options.learnt != nullptr) *options.learnt = entry.coding;
  StoredValue result;
  try {
    result.statistics = EncodeAll(value, options.tier, entry);
  } catch (...) {
    FreeAll(entry);
    throw;
  }
  result.codec = options.codec;
  result.raw_bytes = value.bytes();
  result.stored_bytes = entry.StoredBytes();
  result.offloaded_bytes = entry.BytesIn(file_.get());
  stored_ += result.stored_bytes;
  offloaded_ += result.offloaded_bytes;
  entries_.emplace(id, std::move(entry));
  result.encode_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

std::shared_ptr<const ValueCoding> CompressedStore::Learn(const Tensor& value,
                                                          const PutOptions& options,
                                                          const Entry& entry) const {
  CodecOptions asked = options.coding;
  asked.checksum = asked.checksum || options.tier == Tier::OFFLOADED || options_.spill;
  if (options.prior != nullptr) {
    return std::make_shared<ValueCoding>(asked, *options.prior, entry.dtype, entry.shape.c);
  }
  const std::vector<ChunkView> sample = Sample(value);
  const CodecOptions chosen = WithCenters(asked, sample, value);
  auto coding = std::make_shared<ValueCoding>(chosen, entry.dtype, entry.shape.c);
  entry.codec->Prepare(sample, entry.dtype, coding.get());
  return coding;
}

StoredValue CompressedStore::PutInPlace(int id, const Tensor& value) {
  in_place_.emplace(id, value);
  stored_ += value.bytes();
  StoredValue result;
  result.codec = "raw";
  result.raw_bytes = result.stored_bytes = value.bytes();
  result.statistics.elements = value.elements();
  return result;
}

EncodeStatistics CompressedStore::EncodeAll(const Tensor& value, Tier tier, Entry& entry) {
  const auto* data = static_cast<const uint8_t*>(value.raw());
  const int64_t stride = RoundUp(entry.LargestEncoded(), 64);
  const auto chunks = static_cast<int64_t>(entry.chunks.size());
  const int64_t together = TakenTogether(chunks, entry.codec->encoded_together());
  scratch_.Reserve(together * stride);
  // By chunk, so that the sum does not depend on the number of threads.
  std::vector<EncodeStatistics> statistics(chunks);
  ParallelRunsOrThrow(chunks, together, [&](int thread, int64_t begin, int64_t end) {
    EncodeRequest requests[kEncodedTogether];
    for (int64_t c = begin; c < end; ++c) {
      const Chunk chunk = entry.chunking.At(c);
      requests[c - begin] = {data + chunk.offset * SizeOf(entry.dtype),
                             chunk.shape,
                             scratch_.Of(thread) + (c - begin) * stride,
                             0,
                             {}};
    }
    entry.codec->Encode(entry.dtype, *entry.coding, requests, static_cast<int>(end - begin));
    for (int64_t c = begin; c < end; ++c) {
      const EncodeRequest& done = requests[c - begin];
      statistics[c] = done.statistics;
      entry.chunks[c] = Keep(done.out, done.size, tier, entry);
    }
  });
  EncodeStatistics sum;
  for (const EncodeStatistics& s : statistics) sum.Add(s);
  return sum;
}

CompressedStore::EncodedChunk CompressedStore::Keep(const uint8_t* data, int64_t size, Tier tier,
                                                    const Entry& entry) {
  if (tier == Tier::MEMORY) {
    if (const auto piece = pool_.Store(data, size, entry.floor)) return {&pool_, *piece};
    if (!options_.spill) ThrowLimit(size, entry);
  }
  ENCKE_CHECK(file_ != nullptr, entry.name, " needs StoreOptions::offload");
  return {file_.get(), file_->Store(data, size).value()};
}

void CompressedStore::ThrowLimit(int64_t size, const Entry& entry) const {
  throw Error(ErrorKind::MEMORY,
              StrCat("the pool of saved values is limited to ", FormatBytes(options_.limit_bytes),
                     ", holds ", FormatBytes(pool_.held_bytes()), " and has no room for ",
                     FormatBytes(size), " of this value"),
              entry.name,
              "raise activations { pool_limit } or the tolerance, take a smaller batch, or let the "
              "rest go to a file with activations { spill: true }");
}

Tensor CompressedStore::Get(int id, int64_t first, int64_t count, const Tensor& scratch) {
  const auto in_place = in_place_.find(id);
  if (in_place != in_place_.end()) return in_place->second.Slice(first, count);
  const Entry& entry = At(id);
  ENCKE_CHECK(first >= 0 && count >= 0 && first + count <= entry.shape.n, first, "+", count);
  ENCKE_CHECK(scratch.defined() && scratch.dtype() == entry.dtype &&
                  scratch.elements() >= count * entry.shape.sample(),
              scratch.shape().ToString());
  if (count == 0) return scratch.Slice(0, 0);
  const int64_t begin_chunk = entry.chunking.ChunkOf(first);
  const int64_t chunks = entry.chunking.EndOf(first + count) - begin_chunk;
  const bool in_memory = file_ == nullptr || entry.BytesIn(file_.get()) == 0;
  const int64_t stride = entry.DecodingScratch(in_memory);
  // Of what is in memory, whole chunks are decoded to where they belong.
  const int64_t together = TakenTogether(chunks, in_memory ? kDecodedTogether : kMostInScratch);
  scratch_.Reserve(std::min(together, kMostInScratch) * stride);
  ParallelRunsOrThrow(chunks, together, [&](int thread, int64_t begin, int64_t end) {
    DecodeChunks(entry, begin_chunk + begin, begin_chunk + end, first, count,
                 {scratch_.Of(thread), stride}, static_cast<uint8_t*>(scratch.raw()));
  });
  return scratch.shape().n == count ? scratch : scratch.Slice(0, count);
}

// Decodes what chunks [begin, end) have of samples [first, first + count) to where it belongs in
// `out`. A piece of the scratch holds a decoded chunk of which only a part is wanted, and behind it
// an encoded one that is not in memory.
void CompressedStore::DecodeChunks(const Entry& entry, int64_t begin, int64_t end, int64_t first,
                                   int64_t count, const Pieces& scratch, uint8_t* out) const {
  struct Part {
    int64_t offset, begin, end;  // of the chunk, and what is wanted of it, in `out`, in elements
    bool whole;
  };
  const int64_t bytes = SizeOf(entry.dtype), sample = entry.shape.sample();
  const auto chunks = static_cast<int>(end - begin);
  DecodeRequest requests[kDecodedTogether];
  Part parts[kDecodedTogether];
  uint8_t* free = scratch.memory;
  for (int i = 0; i < chunks; ++i) {
    const Chunk chunk = entry.chunking.At(begin + i);
    const auto& [space, piece] = entry.chunks[begin + i];
    Part& part = parts[i];
    part.offset = chunk.offset - first * sample;
    part.begin = std::max<int64_t>(part.offset, 0);
    part.end = std::min(part.offset + chunk.shape.elements(), count * sample);
    part.whole = part.end - part.begin == chunk.shape.elements();
    uint8_t* const own = free;
    if (!part.whole || space == file_.get()) free += scratch.stride;
    requests[i] = {space->Read(piece, own + entry.LargestDecoded()), piece.size, chunk.shape,
                   part.whole ? out + part.begin * bytes : own};
  }
  DecodeNamed(entry, begin, requests, chunks);
  for (int i = 0; i < chunks; ++i) {
    const Part& part = parts[i];
    if (part.whole) continue;
    std::memcpy(out + part.begin * bytes,
                static_cast<uint8_t*>(requests[i].data) + (part.begin - part.offset) * bytes,
                (part.end - part.begin) * bytes);
  }
}

// An error names the chunk; which one it is of several is found out when there is one.
void CompressedStore::DecodeNamed(const Entry& entry, int64_t first, const DecodeRequest* requests,
                                  int count) {
  try {
    entry.codec->Decode(entry.dtype, *entry.coding, requests, count);
  } catch (const Error& error) {
    for (int i = 0; i < count && count > 1; ++i) DecodeNamed(entry, first + i, requests + i, 1);
    throw Error(error.kind(), error.message(),
                StrCat("chunk ", first, " of ", entry.chunks.size(), " of value ", entry.name));
  }
}

void CompressedStore::Release(int id) {
  const auto in_place = in_place_.find(id);
  if (in_place != in_place_.end()) {
    stored_ -= in_place->second.bytes();
    in_place_.erase(in_place);
    return;
  }
  const Entry& entry = At(id);
  stored_ -= entry.StoredBytes();
  offloaded_ -= entry.BytesIn(file_.get());
  FreeAll(entry);
  entries_.erase(id);
}

void CompressedStore::FreeAll(const Entry& entry) {
  for (auto chunk = entry.chunks.rbegin(); chunk != entry.chunks.rend(); ++chunk) {
    if (chunk->space != nullptr) chunk->space->Free(chunk->piece);
  }
}

const CompressedStore::Entry& CompressedStore::At(int id) const {
  const auto found = entries_.find(id);
  ENCKE_CHECK(found != entries_.end(), "value ", id, " is not stored");
  return found->second;
}

}  // namespace

int64_t StoreScratchBytes(const Shape& value, DType dtype, Tier tier, const std::string& codec) {
  if (tier == Tier::IN_PLACE) return 0;
  const Codec* const encoder = FindCodec(codec);
  ENCKE_CHECK(encoder != nullptr, codec);
  const Chunking chunking(value, dtype, StoreOptions().chunk_bytes);
  const int64_t decoded = chunking.Largest().elements() * SizeOf(dtype);
  const int64_t encoded = FindCodec("fast")->MaxEncodedSize(chunking.Largest(), dtype);
  const int64_t encoding =
      TakenTogether(chunking.count(), encoder->encoded_together()) * RoundUp(encoded, 64);
  const int64_t decoding = TakenTogether(chunking.count(), kMostInScratch) *
                           RoundUp(tier == Tier::OFFLOADED ? decoded + encoded : decoded, 64);
  return std::max(encoding, decoding) * Threads();
}

std::unique_ptr<ActivationStore> NewCompressedStore(Allocator& allocator,
                                                    const StoreOptions& options) {
  return std::make_unique<CompressedStore>(allocator, options);
}

}  // namespace encke
