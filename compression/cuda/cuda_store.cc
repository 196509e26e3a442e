#include "compression/cuda/cuda_store.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>

#include "compression/cuda/encode_arenas.h"
#include "compression/cuda/host_reader.h"
#include "compression/cuda/value_code.h"
#include "engine/core/error.h"

namespace encke::cuda {
namespace {

constexpr int64_t kOffloadedRatio = 8;  // raw over stored, of lossy values at least: assumed
constexpr int kRecords = 4096;  // values that are stored at a time, or wait for others to come free

// A value's worst case: every chunk copied, and the tables.
uint64_t MostBytes(const Chunking& chunking, uint32_t segments, DType dtype, int64_t elements) {
  const auto chunks = static_cast<uint64_t>(chunking.count());
  return StoredValueView::TableBytes(chunks, segments) +
         static_cast<uint64_t>(elements * SizeOf(dtype)) + chunks * (kHeadBytes + kChunkAlignment);
}

class CudaStore : public ActivationStore {
 public:
  CudaStore(Allocator& allocator, const CudaStoreOptions& options);
  ~CudaStore() override { cudaStreamSynchronize(stream_.get()); }

  StoredValue Put(int id, const Tensor& value, const PutOptions& options) override;
  Tensor Get(int id, int64_t first, int64_t count, const Tensor& scratch) override;
  void Release(int id) override;
  void Prefetch(int id, int64_t first, int64_t count, const Tensor& scratch) override;
  void BeforeOverwrite(int id) override;
  void Expect(int64_t bytes) override;
  void Borrow(std::shared_ptr<Buffer> space) override;

  int64_t stored_bytes() const override { return stored_; }
  int64_t offloaded_bytes() const override { return offloaded_; }

 private:
  struct Value {
    int number;  // of the Put, from 0 on: its name in the book
    Shape shape;
    DType dtype;
    StoredValueView view;
    ArenaPlace place;
    int64_t bytes;            // stored, as far as known
    EventPool::Held encoded;  // the tensor has been read
    EventPool::Held decoded;  // the elements are in `target`
    void* target = nullptr;
    int64_t first = 0, count = 0;  // samples in `target`
    bool was_decoded = false;      // any of it
    // Where it lies in its arena, once that is known.
    uint64_t begin = 0, end = 0;
  };
  // Something that the device will have found out when `done` is over.
  struct Finding {
    int id = 0;
    int number = 0;
    ArenaPlace place = ArenaPlace::DEVICE;
    StoredValue value;     // but for what is found
    EventPool::Held done;  // its record has been read
  };

  // Memory that the encoder works in.
  struct EncodeScratch {
    uint8_t* dense;
    int warps;
    ChunkStatistics* statistics;
  };

  StoredValue Keep(int id, const Tensor& value);
  Value& At(int id);
  Value& Open(int id, const Tensor& value, const Chunking& chunking, bool marked,
              const PutOptions& options);
  EncodeArenas& ArenasOf(ArenaPlace place);
  EncodeArenas& ArenasFor(uint64_t most, const PutOptions& options);
  void Settle();
  bool AwaitRoom(EncodeArenas* arenas, uint64_t most, uint64_t floor);
  bool MakeRoom(EncodeArenas* arenas, uint64_t most);
  int OldestNumber() const;
  void AwaitSize(int id);
  StoredValueView Staged(const Value& value);
  EncodeScratch ReserveFor(const Chunking& chunking, const ValueCode& code);
  void Decode(int id, int64_t first, int64_t count, const Tensor& scratch);
  EventPool::Held ReadRecord(int number);
  void TakeFindings();
  void TakeSize(const Finding& finding);
  void CheckWhole(const Finding& finding) const;
  void SetBytes(Value* value, int64_t bytes);
  // Memory for kernels of stream_, at least so much.
  uint8_t* Reserve(uint64_t bytes, std::shared_ptr<Buffer>* buffer);
  ValueRecord* RecordOf(int number) const {
    return static_cast<ValueRecord*>(records_->data()) + number % kRecords;
  }
  const ValueRecord& Found(int number) const {
    return reinterpret_cast<const ValueRecord*>(found_.data())[number % kRecords];
  }

  Allocator& allocator_;
  const CudaStoreOptions options_;
  int multiprocessors_ = 0;
  CodecStream stream_;
  EventPool events_;
  CodecEvent ready_;  // what the computation has done so far
  EncodeArenas arenas_;
  std::unique_ptr<EncodeArenas> lent_;
  std::unique_ptr<EncodeArenas> host_arenas_;  // of what is offloaded, and what brings it back;
  std::unique_ptr<HostReader> reader_;         // made when they are first needed
  std::shared_ptr<Buffer> records_, scratch_, statistics_;
  PinnedBytes found_;  // the records, read back
  std::map<int, ValueCode> codes_;
  std::map<int, Value> values_;
  std::map<int, Tensor> in_place_;
  std::deque<Finding> sizes_, decodings_;  // in the order of stream_
  int next_number_ = 0;
  int64_t stored_ = 0, offloaded_ = 0;
};

CudaStore::CudaStore(Allocator& allocator, const CudaStoreOptions& options)
    : allocator_(allocator),
      options_(options),
      arenas_(allocator, ArenaPlace::DEVICE, options.limit_bytes, stream_.get()),
      found_(kRecords * sizeof(ValueRecord)) {
  ENCKE_CODEC_CUDA(cudaDeviceGetAttribute(&multiprocessors_, cudaDevAttrMultiProcessorCount,
                                          allocator.device().index));
  records_ = allocator.Allocate(kRecords * sizeof(ValueRecord), MemoryCategory::SAVED);
}

CudaStore::Value& CudaStore::At(int id) {
  const auto found = values_.find(id);
  ENCKE_CHECK(found != values_.end(), "value ", id, " is not stored");
  return found->second;
}

StoredValue CudaStore::Keep(int id, const Tensor& value) {
  in_place_[id] = value;
  stored_ += value.bytes();
  StoredValue result;
  result.codec = "raw";
  result.raw_bytes = result.stored_bytes = value.bytes();
  result.statistics.elements = value.elements();
  return result;
}

StoredValue CudaStore::Put(int id, const Tensor& value, const PutOptions& options) {
  ENCKE_CHECK(value.defined() && values_.count(id) + in_place_.count(id) == 0, id);
  if (options.tier == Tier::IN_PLACE) return Keep(id, value);
  ENCKE_CHECK(value.dtype() == DType::F32 || value.dtype() == DType::BF16, NameOf(value.dtype()));
  const std::string& codec = options.codec;
  const bool known = codec == "raw" || codec == "fast" || codec == "dense";
  if (!known) {
    throw Error(ErrorKind::DEVICE, StrCat("codec ", codec, " does not run on a GPU"), options.name,
                "use fast or dense");
  }
  TakeFindings();
  ready_.Record(options_.compute);
  ready_.MakeWait(stream_.get());
  const Chunking chunking(value.shape(), value.dtype(), options_.chunk_bytes);
  ValueCode& code = codes_.try_emplace(id, static_cast<int>(codes_.size())).first->second;
  code.Update(allocator_, value, chunking, codec == "dense",
              codec == "raw" ? CodecOptions() : options.coding, stream_.get());
  const EncodeScratch scratch = ReserveFor(chunking, code);
  Value& stored = Open(id, value, chunking, code.device().dense == nullptr, options);
  stored.view.statistics = scratch.statistics;
  LaunchEncode(stored.view, value.raw(), code.device(), scratch.dense, scratch.warps,
               stream_.get());
  ENCKE_CODEC_CUDA(cudaGetLastError());
  SetBytes(&stored, code.last ? code.last->stored_bytes : 0);
  code.TakeSample(value, chunking, stream_.get());
  stored.encoded->Record(stream_.get());
  if (!options_.overlap) stored.encoded->MakeWait(options_.compute);
  StoredValue partly;
  partly.codec = codec;
  partly.raw_bytes = value.bytes();
  partly.statistics.elements = value.elements();
  EventPool::Held done = ReadRecord(stored.number);
  sizes_.push_back({id, stored.number, stored.place, partly, std::move(done)});
  if (!code.last) {
    sizes_.back().done->Wait();
    TakeFindings();
  }
  return *code.last;
}

// Books the value's space and describes it for the kernels. Marks are for FAST; those chunks of
// DENSE values that fall back to it are few.
CudaStore::Value& CudaStore::Open(int id, const Tensor& value, const Chunking& chunking,
                                  bool marked, const PutOptions& options) {
  const auto largest = static_cast<uint32_t>(chunking.Largest().elements());
  const uint32_t segments = marked ? SegmentsOf(largest) : 0;
  const uint64_t most = MostBytes(chunking, segments, value.dtype(), value.elements());
  EncodeArenas& arenas = ArenasFor(most, options);
  ENCKE_CHECK(next_number_ - OldestNumber() < kRecords, "too many values");
  const int number = next_number_++;
  const uint64_t floor = arenas.place() == ArenaPlace::LENT ? options.floor : 0;
  const StoredValueView view = {arenas.Open(number, most, floor), RecordOf(number), chunking,
                                segments, nullptr};
  const auto placed = values_.emplace(id, Value{number, value.shape(), value.dtype(), view,
                                                arenas.place(), 0, events_.Take(), events_.Take()});
  return placed.first->second;
}

EncodeArenas& CudaStore::ArenasOf(ArenaPlace place) {
  if (place == ArenaPlace::DEVICE) return arenas_;
  if (place == ArenaPlace::LENT) return *lent_;
  if (host_arenas_ == nullptr) {
    host_arenas_ = std::make_unique<EncodeArenas>(allocator_, ArenaPlace::HOST, 0, stream_.get());
    reader_ = std::make_unique<HostReader>(allocator_);
  }
  return *host_arenas_;
}

// Those that have room for a value.
EncodeArenas& CudaStore::ArenasFor(uint64_t most, const PutOptions& options) {
  if (options.tier != Tier::OFFLOADED) {
    const bool lent = lent_ != nullptr && options.floor >= 0;
    const uint64_t floor = lent ? options.floor : 0;
    if (lent && lent_->Fits(most, floor)) return *lent_;
    if (arenas_.Fits(most)) return arenas_;
    if (lent && AwaitRoom(lent_.get(), most, floor)) return *lent_;
    if (MakeRoom(&arenas_, most)) return arenas_;
  }
  if (options.tier == Tier::OFFLOADED || options_.spill) {
    EncodeArenas& host = ArenasOf(ArenaPlace::HOST);
    if (MakeRoom(&host, most)) return host;
  }
  throw Error(ErrorKind::MEMORY, "the pool of saved values is full", options.name,
              "raise activations { pool_limit } or the tolerance, take a smaller batch, or let the "
              "rest go to memory of the host with activations { spill: true }");
}

// False: the limit does not allow it.
bool CudaStore::MakeRoom(EncodeArenas* arenas, uint64_t most) {
  if (arenas->empty() && arenas->several()) {
    ENCKE_CODEC_CUDA(cudaStreamSynchronize(stream_.get()));
    arenas->Merge();
  }
  return AwaitRoom(arenas, most, 0) || arenas->Add(most);
}

// Waits for what is under way there, which may have taken far less than its most, if need be.
bool CudaStore::AwaitRoom(EncodeArenas* arenas, uint64_t most, uint64_t floor) {
  const auto under_way = [&] {
    return std::any_of(sizes_.begin(), sizes_.end(),
                       [&](const Finding& finding) { return finding.place == arenas->place(); });
  };
  while (!arenas->Fits(most, floor) && under_way()) {
    sizes_.front().done->Wait();
    TakeFindings();
  }
  return arenas->Fits(most, floor);
}

// Nobody reads or writes what the pool has, or is given, any more.
void CudaStore::Settle() {
  ENCKE_CHECK(values_.empty(), values_.size());
  ready_.Record(options_.compute);
  ready_.MakeWait(stream_.get());
  ENCKE_CODEC_CUDA(cudaStreamSynchronize(stream_.get()));
  TakeFindings();
}

void CudaStore::Borrow(std::shared_ptr<Buffer> space) {
  Settle();
  lent_.reset();
  if (space != nullptr) {
    lent_ = std::make_unique<EncodeArenas>(allocator_, std::move(space), stream_.get());
  }
}

void CudaStore::Expect(int64_t bytes) {
  Settle();
  arenas_.Expect(bytes);
}

int CudaStore::OldestNumber() const {
  int oldest = arenas_.Oldest(next_number_);
  for (const EncodeArenas* others : {lent_.get(), host_arenas_.get()}) {
    if (others != nullptr) oldest = others->Oldest(oldest);
  }
  return oldest;
}

CudaStore::EncodeScratch CudaStore::ReserveFor(const Chunking& chunking, const ValueCode& code) {
  const int warps = DenseWarps(multiprocessors_, chunking);
  const uint64_t sums = static_cast<uint64_t>(chunking.count()) * sizeof(ChunkStatistics);
  uint8_t* dense = nullptr;
  if (code.device().dense != nullptr) {
    dense = Reserve(DenseScratchBytes(chunking, warps), &scratch_);
  }
  return {dense, warps, reinterpret_cast<ChunkStatistics*>(Reserve(sums, &statistics_))};
}

uint8_t* CudaStore::Reserve(uint64_t bytes, std::shared_ptr<Buffer>* buffer) {
  const auto wanted = static_cast<int64_t>(bytes);
  if (*buffer == nullptr || (*buffer)->bytes() < wanted) {
    if (*buffer != nullptr) ENCKE_CODEC_CUDA(cudaStreamSynchronize(stream_.get()));
    buffer->reset();
    *buffer = allocator_.Allocate(wanted, MemoryCategory::WORKSPACE);
  }
  return static_cast<uint8_t*>((*buffer)->data());
}

void CudaStore::SetBytes(Value* value, int64_t bytes) {
  const int64_t more = bytes - value->bytes;
  if (value->place == ArenaPlace::HOST) {
    offloaded_ += more;
  } else {
    allocator_.ledger().Move(MemoryCategory::UNUSED, MemoryCategory::SAVED, more);
  }
  value->bytes = bytes;
  stored_ += more;
}

EventPool::Held CudaStore::ReadRecord(int number) {
  auto* to = found_.data() + number % kRecords * sizeof(ValueRecord);
  ENCKE_CODEC_CUDA(cudaMemcpyAsync(to, RecordOf(number), sizeof(ValueRecord),
                                   cudaMemcpyDeviceToHost, stream_.get()));
  EventPool::Held done = events_.Take();
  done->Record(stream_.get());
  return done;
}

void CudaStore::TakeFindings() {
  while (!sizes_.empty() && sizes_.front().done->Done()) {
    const Finding finding = std::move(sizes_.front());
    sizes_.pop_front();
    TakeSize(finding);
  }
  while (!decodings_.empty() && decodings_.front().done->Done()) {
    const Finding finding = std::move(decodings_.front());
    decodings_.pop_front();
    CheckWhole(finding);
  }
}

void CudaStore::TakeSize(const Finding& finding) {
  const ValueRecord& record = Found(finding.number);
  ENCKE_CHECK(record.overflowed == 0, "value ", finding.id, " did not fit its arena");
  StoredValue stored = finding.value;
  stored.stored_bytes = static_cast<int64_t>(record.end - record.begin);
  stored.offloaded_bytes = finding.place == ArenaPlace::HOST ? stored.stored_bytes : 0;
  stored.statistics.nonzero = record.nonzero;
  stored.statistics.escapes = record.escapes;
  stored.statistics.sum_of_squares = record.squares;
  codes_.at(finding.id).last = stored;
  const auto found = values_.find(finding.id);
  if (found == values_.end() || found->second.number != finding.number) return;
  ArenasOf(finding.place).Settle(finding.number, record.end);
  found->second.begin = record.begin;
  found->second.end = record.end;
  SetBytes(&found->second, stored.stored_bytes);
}

void CudaStore::CheckWhole(const Finding& finding) const {
  const uint32_t broken = Found(finding.number).broken;
  if (broken == ~uint32_t{0}) return;
  throw Error(ErrorKind::CORRUPTION, "a compressed chunk is broken",
              StrCat("chunk ", broken, " of value ", finding.id));
}

void CudaStore::AwaitSize(int id) {
  const int number = At(id).number;
  for (const Finding& finding : sizes_) {
    if (finding.number != number) continue;
    finding.done->Wait();
    return TakeFindings();
  }
}

// The value in memory that it has been copied to, all of it: its chunks lie in any order.
StoredValueView CudaStore::Staged(const Value& value) {
  StoredValueView view = value.view;
  const uint8_t* staged = reader_->Bring(value.number, view.arena.data + value.begin,
                                         value.end - value.begin, stream_.get());
  view.arena.data = const_cast<uint8_t*>(staged) - value.begin;
  return view;
}

void CudaStore::Decode(int id, int64_t first, int64_t count, const Tensor& scratch) {
  Value& value = At(id);
  const Shape& shape = value.shape;
  ENCKE_CHECK(first >= 0 && count >= 0 && first + count <= shape.n, first, "+", count);
  ENCKE_CHECK(scratch.defined() && scratch.dtype() == value.dtype &&
                  scratch.elements() >= count * shape.sample(),
              scratch.shape().ToString());
  ready_.Record(options_.compute);
  ready_.MakeWait(stream_.get());
  const DeviceCoding coding = codes_.at(id).device();
  const int warps = DenseWarps(multiprocessors_, value.view.chunking);
  uint8_t* memory = coding.dense == nullptr
                        ? nullptr
                        : Reserve(DenseScratchBytes(value.view.chunking, warps), &scratch_);
  const DecodeSpan span = {scratch.raw(), first * shape.sample(), (first + count) * shape.sample(),
                           static_cast<uint64_t>(value.view.chunking.ChunkOf(first)),
                           static_cast<uint64_t>(value.view.chunking.EndOf(first + count))};
  const bool offloaded = value.place == ArenaPlace::HOST;
  if (offloaded) AwaitSize(id);
  LaunchDecode(offloaded ? Staged(value) : value.view, span, coding, memory, warps, stream_.get());
  ENCKE_CODEC_CUDA(cudaGetLastError());
  if (offloaded) reader_->Decoded(stream_.get());
  value.decoded->Record(stream_.get());
  value.target = scratch.raw();
  value.first = first;
  value.count = count;
  value.was_decoded = true;
}

void CudaStore::BeforeOverwrite(int id) {
  if (in_place_.count(id) == 0) At(id).encoded->MakeWait(options_.compute);
}

void CudaStore::Prefetch(int id, int64_t first, int64_t count, const Tensor& scratch) {
  if (count > 0 && in_place_.count(id) == 0) Decode(id, first, count, scratch);
}

Tensor CudaStore::Get(int id, int64_t first, int64_t count, const Tensor& scratch) {
  TakeFindings();
  const auto kept = in_place_.find(id);
  if (kept != in_place_.end()) return kept->second.Slice(first, count);
  if (count == 0) return scratch.Slice(0, 0);
  Value& value = At(id);
  const bool there = value.target == scratch.raw() && value.first == first && value.count == count;
  if (!there) Decode(id, first, count, scratch);
  value.target = nullptr;  // the caller may write there from now on
  value.decoded->MakeWait(options_.compute);
  return scratch.shape().n == count ? scratch : scratch.Slice(0, count);
}

void CudaStore::Release(int id) {
  const auto kept = in_place_.find(id);
  if (kept != in_place_.end()) {
    stored_ -= kept->second.bytes();
    in_place_.erase(kept);
    return;
  }
  Value& value = At(id);
  if (value.place == ArenaPlace::LENT) {  // the computation may write there from now on
    value.encoded->MakeWait(options_.compute);
    value.decoded->MakeWait(options_.compute);
  }
  if (value.was_decoded) {
    EventPool::Held done = ReadRecord(value.number);
    decodings_.push_back({id, value.number, value.place, StoredValue(), std::move(done)});
  }
  SetBytes(&value, 0);
  ArenasOf(value.place).Close(value.number, [&](int number) { return &RecordOf(number)->begin; });
  values_.erase(id);
}

}  // namespace

std::unique_ptr<ActivationStore> NewCudaStore(Allocator& allocator,
                                              const CudaStoreOptions& options) {
  return std::make_unique<CudaStore>(allocator, options);
}

int64_t CudaRoomBytes(const Shape& value, DType dtype) {
  const Chunking chunking(value, dtype, CudaStoreOptions().chunk_bytes);
  const uint32_t segments = SegmentsOf(static_cast<uint32_t>(chunking.Largest().elements()));
  return static_cast<int64_t>(MostBytes(chunking, segments, dtype, value.elements()));
}

int64_t CudaScratchBytes(const Shape& value, DType dtype, const std::string& codec,
                         int multiprocessors) {
  const Chunking chunking(value, dtype, CudaStoreOptions().chunk_bytes);
  const int warps = DenseWarps(multiprocessors, chunking);
  const uint64_t dense = codec == "dense" ? DenseScratchBytes(chunking, warps) : 0;
  return static_cast<int64_t>(dense) +
         chunking.count() * static_cast<int64_t>(sizeof(ChunkStatistics));
}

int64_t CudaStagingBytes(const Shape& value, DType dtype, Tier tier, bool exact) {
  if (tier != Tier::OFFLOADED) return 0;
  return 2 * value.elements() * SizeOf(dtype) / (exact ? 1 : kOffloadedRatio);
}

}  // namespace encke::cuda
