#include "compression/cuda/value_code.h"

#include <cstring>

#include "compression/centroids.h"
#include "compression/cuda/rule_tables.h"
#include "compression/dense_tables.h"
#include "engine/core/error.h"

namespace encke::cuda {
namespace {

bool Same(const CodecOptions& a, const CodecOptions& b) {
  return a.bound.uniform == b.bound.uniform && a.bound.channel == b.bound.channel &&
         a.mask == b.mask && a.channel_center == b.channel_center &&
         a.activity.threshold == b.activity.threshold && a.activity.sign == b.activity.sign &&
         a.activity.inactive_bound == b.activity.inactive_bound &&
         a.activity.centroid == b.activity.centroid;
}

// Behind the entries, where lanes of the kernels read it by words.
int64_t DenseOffset(int64_t entry_bytes) {
  constexpr int64_t kAlignment = alignof(DenseTables);
  return (entry_bytes + kAlignment - 1) / kAlignment * kAlignment;
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
  const std::vector<ChunkView> sample = Sample(chunking);
  coding_ = std::make_unique<ValueCoding>(WithCentroids(sample), dtype_, value.shape().c);
  if (learns && !sample.empty()) {
    FindCodec("dense")->Prepare(sample, dtype_, coding_.get());
    tables_ = coding_->tables;
    table_uses_ = 0;
  }
  Upload(allocator, stream);
}

// Empty where there is none that fits.
std::vector<ChunkView> ValueCode::Sample(const Chunking& chunking) const {
  std::vector<ChunkView> views;
  if (sample_ == nullptr || sample_dtype_ != dtype_ ||
      pieces_.size() != SamplePieces(chunking).size()) {
    return views;
  }
  const uint8_t* data = sample_->data();
  for (const Chunk& piece : pieces_) {
    views.push_back({data, piece.shape});
    data += piece.shape.elements() * SizeOf(dtype_);
  }
  return views;
}

CodecOptions ValueCode::WithCentroids(const std::vector<ChunkView>& sample) const {
  CodecOptions options = options_;
  Activity& activity = options.activity;
  if (!activity.empty() && activity.centroid.empty() && !sample.empty()) {
    activity.centroid = CellCentroids(activity, sample, dtype_);
  }
  return options;
}

void ValueCode::Upload(Allocator& allocator, cudaStream_t stream) {
  const PackedTables packed = PackTables(coding_->quantizer);
  period_ = packed.period;
  dense_offset_ = DenseOffset(static_cast<int64_t>(packed.bytes.size()));
  const int64_t bytes = dense_offset_ + static_cast<int64_t>(sizeof(DenseTables));
  if (bytes != bytes_) {
    // Kernels of an earlier iteration are done with the former one: used_ lies behind them.
    device_ = allocator.Allocate(bytes, MemoryCategory::SAVED);
    host_ = std::make_unique<PinnedBytes>(bytes);
    bytes_ = bytes;
  }
  std::memcpy(host_->data(), packed.bytes.data(), packed.bytes.size());
  if (!tables_.empty()) {
    const DenseTables dense = ExpandDenseTables(tables_);
    std::memcpy(host_->data() + dense_offset_, &dense, sizeof(dense));
  }
  ENCKE_CODEC_CUDA(
      cudaMemcpyAsync(device_->data(), host_->data(), bytes, cudaMemcpyHostToDevice, stream));
}

void ValueCode::TakeSample(const Tensor& value, const Chunking& chunking, cudaStream_t stream) {
  const bool wanted = wants_dense_ || !options_.activity.empty();
  if (wanted && (sample_ == nullptr || table_uses_ >= kTableUses)) {
    sample_dtype_ = dtype_;
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
  const auto* bytes = static_cast<const uint8_t*>(device_->data());
  const auto* dense = reinterpret_cast<const DenseTables*>(bytes + dense_offset_);
  return {dtype_, coding_->quantizer.mode(), bytes, period_, tables_.empty() ? nullptr : dense};
}

}  // namespace encke::cuda
