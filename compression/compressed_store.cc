// The ENCKE pool: values encoded chunk by chunk, in parallel, into slabs.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <exception>
#include <map>

#include "compression/activation_store.h"
#include "compression/centroids.h"
#include "compression/chunking.h"
#include "compression/slab_pool.h"
#include "compression/value_coding.h"
#include "engine/core/error.h"
#include "engine/core/parallel.h"

namespace encke {
namespace {

// Runs body(range, begin, end) on all threads; the first exception that one of them throws is
// thrown again when all are done.
template <typename Body>
void ParallelOrThrow(int64_t count, const Body& body) {
  std::vector<std::exception_ptr> failures(Threads());
  ParallelForIndexed(count, 1, [&](int range, int64_t begin, int64_t end) {
    try {
      body(range, begin, end);
    } catch (...) {
      failures[range] = std::current_exception();
    }
  });
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
}

constexpr int64_t kSamplePieces = 16;       // images differ: many small pieces say more than a few
constexpr int64_t kSampleElements = 24576;  // of all pieces, about, but two rows of each

// A few groups of rows, evenly spread over samples and rows of the value.
std::vector<ChunkView> Sample(const Tensor& value) {
  const Shape& shape = value.shape();
  if (shape.elements() == 0) return {};
  const int64_t row = shape.w * shape.c;
  const int64_t rows =
      std::min(shape.h, std::max<int64_t>(2, kSampleElements / kSamplePieces / row));
  const int64_t pieces = std::min(shape.n * shape.h, kSamplePieces);
  const int64_t samples = shape.h > 1 ? 1 : std::min<int64_t>(shape.n, 4);
  std::vector<ChunkView> sample;
  for (int64_t i = 0; i < pieces; ++i) {
    const int64_t last = std::max<int64_t>(pieces - 1, 1);
    const int64_t n = (shape.n - samples) * i / last;
    const int64_t h = (shape.h - rows) * (i * 5 % pieces) / last;
    const auto* data = static_cast<const uint8_t*>(value.raw());
    sample.push_back({data + (n * shape.sample() + h * row) * SizeOf(value.dtype()),
                      {samples, rows, shape.w, shape.c}});
  }
  return sample;
}

constexpr int64_t kCenterPixels = 72;  // of all pieces together

template <typename T>
float MedianOf(const std::vector<ChunkView>& sample, int64_t channel) {
  std::vector<float> values;
  const int64_t wanted = std::max<int64_t>(1, kCenterPixels / static_cast<int64_t>(sample.size()));
  for (const ChunkView& piece : sample) {
    const int64_t pixels = piece.shape.n * piece.shape.h * piece.shape.w;
    const int64_t stride = std::max<int64_t>(1, pixels / wanted);
    const T* data = static_cast<const T*>(piece.data);
    for (int64_t i = 0; i < pixels; i += stride) {
      const auto x = static_cast<float>(data[i * piece.shape.c + channel]);
      values.push_back(std::isfinite(x) ? x : 0.0f);
    }
  }
  const auto middle = values.begin() + static_cast<int64_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// Each channel's median over part of the sample. The median rather than the mean: where most
// elements are equal it is what they are.
std::vector<float> ChannelMedians(const std::vector<ChunkView>& sample, DType dtype,
                                  int64_t channels) {
  std::vector<float> medians;
  for (int64_t c = 0; c < channels; ++c) {
    medians.push_back(dtype == DType::F32 ? MedianOf<float>(sample, c)
                                          : MedianOf<bfloat16>(sample, c));
  }
  return medians;
}

// `options` as asked for, with centers where bounds differ by channel, as those of normalisation
// do: its inputs lie as far from 0 as they spread; with an activity, its centroids.
CodecOptions WithCenters(const CodecOptions& options, const std::vector<ChunkView>& sample,
                         const Tensor& value) {
  CodecOptions centered = options;
  if (!options.activity.empty()) {
    if (options.activity.centroid.empty()) {
      centered.activity.centroid = CellCentroids(options.activity, sample, value.dtype());
    }
    return centered;
  }
  const bool pays = !options.mask && !options.bound.channel.empty() && !sample.empty();
  if (pays && options.channel_center.empty()) {
    centered.channel_center = ChannelMedians(sample, value.dtype(), value.shape().c);
  }
  return centered;
}

// Scratch memory for each thread, kept between calls.
class Scratch {
 public:
  explicit Scratch(Allocator& allocator) : allocator_(allocator) {}

  // REQUIRES: not called while another call's memory is in use.
  void Reserve(int64_t bytes_per_thread) {
    stride_ = (bytes_per_thread + 63) / 64 * 64;
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
      : options_(options), pool_(allocator, options.limit_bytes), scratch_(allocator) {}

  StoredValue Put(int id, const Tensor& value, const std::string& codec,
                  const CodecOptions& options) override;
  Tensor Get(int id, int64_t first, int64_t count, const Tensor& scratch) override;
  void Release(int id) override;

  bool KeepsTensors() const override { return false; }
  int64_t stored_bytes() const override { return stored_; }
  int64_t peak_stored_bytes() const override { return peak_; }
  int64_t held_bytes() const override { return pool_.held_bytes(); }
  void ResetPeak() override { peak_ = stored_; }

 private:
  struct Entry {
    Entry(const Tensor& value, const Codec* used, const CodecOptions& options, const Chunking& cut)
        : shape(value.shape()),
          dtype(value.dtype()),
          codec(used),
          coding(options, shape.c),
          chunking(cut),
          pieces(cut.count()) {}

    int64_t StoredBytes() const;

    Shape shape;
    DType dtype;
    const Codec* codec;
    ValueCoding coding;
    Chunking chunking;
    std::vector<SlabPool::Piece> pieces;  // by chunk; no data: not encoded
  };

  EncodeStatistics EncodeAll(const Tensor& value, Entry& entry);
  void DecodeChunk(int id, int64_t index, int64_t first, int64_t count, int thread, uint8_t* out);
  void FreeAll(const Entry& entry);
  const Entry& At(int id) const;

  StoreOptions options_;
  SlabPool pool_;
  Scratch scratch_;
  std::map<int, Entry> entries_;
  int64_t stored_ = 0;
  int64_t peak_ = 0;
};

int64_t CompressedStore::Entry::StoredBytes() const {
  int64_t bytes = coding.bytes() + sizeof(Entry);
  for (const SlabPool::Piece& piece : pieces) bytes += piece.size + sizeof(piece);
  return bytes;
}

StoredValue CompressedStore::Put(int id, const Tensor& value, const std::string& codec,
                                 const CodecOptions& options) {
  const Codec* used = FindCodec(codec);
  ENCKE_CHECK(used != nullptr, "codec ", codec);
  ENCKE_CHECK(value.defined() && entries_.count(id) == 0, id);
  const auto start = std::chrono::steady_clock::now();
  const Chunking chunking(value.shape(), value.dtype(), options_.chunk_bytes);
  const std::vector<ChunkView> sample = Sample(value);
  Entry entry(value, used, WithCenters(options, sample, value), chunking);
  used->Prepare(sample, entry.dtype, &entry.coding);
  StoredValue result;
  try {
    result.statistics = EncodeAll(value, entry);
  } catch (...) {
    FreeAll(entry);
    throw;
  }
  result.codec = codec;
  result.raw_bytes = value.bytes();
  result.stored_bytes = entry.StoredBytes();
  stored_ += result.stored_bytes;
  peak_ = std::max(peak_, stored_);
  entries_.emplace(id, std::move(entry));
  result.encode_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

EncodeStatistics CompressedStore::EncodeAll(const Tensor& value, Entry& entry) {
  const auto* data = static_cast<const uint8_t*>(value.raw());
  scratch_.Reserve(entry.codec->MaxEncodedSize(entry.chunking.Largest(), entry.dtype));
  // By chunk, so that the sum does not depend on the number of threads.
  std::vector<EncodeStatistics> statistics(entry.pieces.size());
  ParallelOrThrow(entry.pieces.size(), [&](int range, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Chunk chunk = entry.chunking.At(i);
      const int64_t size =
          entry.codec->Encode(data + chunk.offset * SizeOf(entry.dtype), entry.dtype, chunk.shape,
                              entry.coding, scratch_.Of(range), &statistics[i]);
      entry.pieces[i] = pool_.Store(scratch_.Of(range), size);
    }
  });
  EncodeStatistics sum;
  for (const EncodeStatistics& s : statistics) sum.Add(s);
  return sum;
}

Tensor CompressedStore::Get(int id, int64_t first, int64_t count, const Tensor& scratch) {
  const Entry& entry = At(id);
  ENCKE_CHECK(first >= 0 && count >= 0 && first + count <= entry.shape.n, first, "+", count);
  ENCKE_CHECK(scratch.defined() && scratch.dtype() == entry.dtype &&
                  scratch.elements() >= count * entry.shape.sample(),
              scratch.shape().ToString());
  if (count == 0) return scratch.Slice(0, 0);
  const int64_t begin_chunk = entry.chunking.ChunkOf(first);
  const int64_t chunks = entry.chunking.EndOf(first + count) - begin_chunk;
  scratch_.Reserve(entry.chunking.Largest().elements() * SizeOf(entry.dtype));
  ParallelOrThrow(chunks, [&](int range, int64_t begin, int64_t end) {
    for (int64_t i = begin_chunk + begin; i < begin_chunk + end; ++i) {
      DecodeChunk(id, i, first, count, range, static_cast<uint8_t*>(scratch.raw()));
    }
  });
  return scratch.shape().n == count ? scratch : scratch.Slice(0, count);
}

// Decodes what chunk `index` has of samples [first, first + count) to where it belongs in `out`.
void CompressedStore::DecodeChunk(int id, int64_t index, int64_t first, int64_t count, int thread,
                                  uint8_t* out) {
  const Entry& entry = At(id);
  const Chunk chunk = entry.chunking.At(index);
  const SlabPool::Piece& piece = entry.pieces[index];
  const int64_t bytes = SizeOf(entry.dtype), sample = entry.shape.sample();
  const int64_t offset = chunk.offset - first * sample;  // in `out`, in elements
  const int64_t begin = std::max<int64_t>(offset, 0);
  const int64_t end = std::min(offset + chunk.shape.elements(), count * sample);
  const bool whole = end - begin == chunk.shape.elements();
  uint8_t* target = whole ? out + begin * bytes : scratch_.Of(thread);
  try {
    entry.codec->Decode(piece.data, piece.size, entry.dtype, chunk.shape, entry.coding, target);
  } catch (const Error& error) {
    throw Error(error.kind(), error.message(),
                StrCat("chunk ", index, " of ", entry.pieces.size(), " of value ", id));
  }
  if (!whole)
    std::memcpy(out + begin * bytes, target + (begin - offset) * bytes, (end - begin) * bytes);
}

void CompressedStore::Release(int id) {
  const Entry& entry = At(id);
  stored_ -= entry.StoredBytes();
  FreeAll(entry);
  entries_.erase(id);
}

void CompressedStore::FreeAll(const Entry& entry) {
  for (auto piece = entry.pieces.rbegin(); piece != entry.pieces.rend(); ++piece) {
    if (piece->data != nullptr) pool_.Free(*piece);
  }
}

const CompressedStore::Entry& CompressedStore::At(int id) const {
  const auto found = entries_.find(id);
  ENCKE_CHECK(found != entries_.end(), "value ", id, " is not stored");
  return found->second;
}

}  // namespace

std::unique_ptr<ActivationStore> NewCompressedStore(Allocator& allocator,
                                                    const StoreOptions& options) {
  return std::make_unique<CompressedStore>(allocator, options);
}

}  // namespace encke
