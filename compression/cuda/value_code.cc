#include "compression/cuda/value_code.h"

#include <cstring>

#include "compression/cuda/uniform_tables.h"
#include "compression/dense_tables.h"
#include "engine/core/error.h"

namespace encke::cuda {
namespace {

bool Same(const CodecOptions& a, const CodecOptions& b) {
  return a.bound.uniform == b.bound.uniform && a.bound.channel == b.bound.channel &&
         a.mask == b.mask && a.channel_center == b.channel_center;
}

int64_t EntryBytes(const ValueCoding& coding) {
  return (coding.quantizer.tables().period + kBlockElements) *
         static_cast<int64_t>(sizeof(UniformTable));
}

// Behind the entries, where lanes of the kernels read it by words.
constexpr int64_t kTableAlignment = alignof(DenseTables);
int64_t DenseOffset(const ValueCoding& coding) {
  return (EntryBytes(coding) + kTableAlignment - 1) / kTableAlignment * kTableAlignment;
}

}  // namespace

void ValueCode::Update(Allocator& allocator, const Tensor& value, const Chunking& chunking,
                       bool dense, const CodecOptions& options, cudaStream_t stream) {
  const bool learns = dense && table_uses_ >= kTableUses && sample_ != nullptr;
  const bool same = coding_ != nullptr && wants_dense_ == dense && dtype_ == value.dtype() &&
                    Same(options_, options);
  ++table_uses_;
  if (same && !learns) return;
  used_.Wait();
  if (!dense || dtype_ != value.dtype()) tables_.clear();
  wants_dense_ = dense;
  dtype_ = value.dtype();
  options_ = options;
  coding_ = std::make_unique<ValueCoding>(options, value.shape().c);
  if (learns && pieces_.size() == SamplePieces(chunking).size()) Learn();
  coding_->tables = tables_;
  Upload(allocator, stream);
}

void ValueCode::Learn() {
  std::vector<ChunkView> views;
  const uint8_t* data = sample_->data();
  for (const Chunk& piece : pieces_) {
    views.push_back({data, piece.shape});
    data += piece.shape.elements() * SizeOf(dtype_);
  }
  FindCodec("dense")->Prepare(views, dtype_, coding_.get());
  tables_ = coding_->tables;
  table_uses_ = 0;
}

void ValueCode::Upload(Allocator& allocator, cudaStream_t stream) {
  const int64_t bytes = DenseOffset(*coding_) + static_cast<int64_t>(sizeof(DenseTables));
  if (bytes != bytes_) {
    // Kernels of an earlier iteration are done with the former one: used_ lies behind them.
    device_ = allocator.Allocate(bytes, MemoryCategory::SAVED);
    host_ = std::make_unique<PinnedBytes>(bytes);
    bytes_ = bytes;
  }
  const std::vector<UniformTable> entries = UniformTables(coding_->quantizer.tables());
  std::memcpy(host_->data(), entries.data(), entries.size() * sizeof(UniformTable));
  if (!tables_.empty()) {
    const DenseTables dense = ExpandDenseTables(tables_);
    std::memcpy(host_->data() + DenseOffset(*coding_), &dense, sizeof(dense));
  }
  ENCKE_CODEC_CUDA(
      cudaMemcpyAsync(device_->data(), host_->data(), bytes, cudaMemcpyHostToDevice, stream));
}

void ValueCode::TakeSample(const Tensor& value, const Chunking& chunking, cudaStream_t stream) {
  if (wants_dense_ && (sample_ == nullptr || table_uses_ >= kTableUses)) {
    pieces_ = SamplePieces(chunking);
    int64_t bytes = 0;
    for (const Chunk& piece : pieces_) bytes += piece.shape.elements() * SizeOf(dtype_);
    sample_ = std::make_unique<PinnedBytes>(bytes);
    uint8_t* to = sample_->data();
    for (const Chunk& piece : pieces_) {
      const int64_t size = piece.shape.elements() * SizeOf(dtype_);
      const auto* from = static_cast<const uint8_t*>(value.raw()) + piece.offset * SizeOf(dtype_);
      ENCKE_CODEC_CUDA(cudaMemcpyAsync(to, from, size, cudaMemcpyDeviceToHost, stream));
      to += size;
    }
  }
  used_.Record(stream);
}

DeviceCoding ValueCode::device() const {
  const auto* entries = static_cast<const uint8_t*>(device_->data());
  const bool dense = !tables_.empty();
  return {dtype_, options_.mask, reinterpret_cast<const UniformTable*>(entries),
          static_cast<uint32_t>(coding_->quantizer.tables().period),
          dense ? reinterpret_cast<const DenseTables*>(entries + DenseOffset(*coding_)) : nullptr};
}

}  // namespace encke::cuda
