#include "compression/cuda/value_code.h"

#include <cmath>
#include <cstring>
#include <utility>

#include "compression/centroids.h"
#include "compression/cuda/rule_tables.h"
#include "compression/dense_tables.h"
#include "engine/core/error.h"

namespace encke::cuda {
namespace {

constexpr double kWidthChange = 0.05;  // after which centroids are found anew

bool Same(const CodecOptions& a, const CodecOptions& b) {
  return a.bound.uniform == b.bound.uniform && a.bound.channel == b.bound.channel &&
         a.mask == b.mask && a.channel_center == b.channel_center &&
         a.activity.threshold == b.activity.threshold && a.activity.sign == b.activity.sign &&
         a.activity.inactive_bound == b.activity.inactive_bound &&
         a.activity.centroid == b.activity.centroid;
}

// Of the inactive cells of all channels.
double MeanWidth(const Activity& activity) {
  double sum = 0;
  for (const float bound : activity.inactive_bound) sum += bound;
  return activity.empty() ? 0 : sum / static_cast<double>(activity.inactive_bound.size());
}

// Of the largest entries that a value of so many channels can have, so that its memory serves
// whatever the bounds become.
int64_t MostEntryBytes(int64_t channels) {
  constexpr size_t kEach = sizeof(ActivityTable) + sizeof(ActivityDecodeTable);
  return (channels + kBlockElements) * static_cast<int64_t>(kEach);
}

// Behind the entries, where lanes of the kernels read it by words.
int64_t DenseOffset(int64_t entry_bytes) {
  constexpr int64_t kAlignment = alignof(DenseTables);
  return (entry_bytes + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

void ValueCode::Update(Allocator& allocator, const Tensor& value, const Chunking& chunking,
                       bool dense, const CodecOptions& options, cudaStream_t stream) {
  const bool same = coding_ != nullptr && wants_dense_ == dense && dtype_ == value.dtype() &&
                    Same(options_, options);
  const bool other = wants_dense_ != dense || dtype_ != value.dtype();
  uses_ = other ? kUses : uses_ + 1;
  if (same && !unread_) return;
  used_.Wait();
  if (!dense || dtype_ != value.dtype()) tables_.clear();
  if (options.activity.empty() || dtype_ != value.dtype()) centroids_.clear();
  wants_dense_ = dense;
  dtype_ = value.dtype();
  options_ = options;
  Learn(chunking, value.shape().c);
  Upload(allocator, value.shape().c, stream);
}

void ValueCode::Learn(const Chunking& chunking, int64_t channels) {
  const std::vector<ChunkView> sample = Sample(chunking);
  const bool anew = unread_ && !sample.empty();
  unread_ = false;
  const double width = MeanWidth(options_.activity);
  const bool moved = std::abs(width - learnt_width_) > kWidthChange * learnt_width_;
  if (!options_.activity.empty() && !sample.empty() && (anew || moved)) {
    centroids_ = CellCentroids(options_.activity, sample, dtype_);
    learnt_width_ = width;
  }
  coding_ = std::make_unique<ValueCoding>(WithCentroids(), dtype_, channels);
  if (!anew) return;
  if (wants_dense_) {
    FindCodec("dense")->Prepare(sample, dtype_, coding_.get());
    tables_ = coding_->tables;
  }
  uses_ = std::exchange(turn_, 0);
}

// Empty where there is none that fits.
std::vector<ChunkView> ValueCode::Sample(const Chunking& chunking) const {
  std::vector<ChunkView> views;
  if (sample_ == nullptr || sample_dtype_ != dtype_ ||
      pieces_.size() != SamplePieces(chunking).size())
    return views;
  const uint8_t* data = sample_->data();
  for (const Chunk& piece : pieces_) {
    views.push_back({data, piece.shape});
    data += piece.shape.elements() * SizeOf(dtype_);
  }
  return views;
}

// Those that were learnt, unless the options have some.
CodecOptions ValueCode::WithCentroids() const {
  CodecOptions options = options_;
  Activity& activity = options.activity;
  if (activity.centroid.empty() && centroids_.size() == activity.threshold.size() * kCentroids) {
    activity.centroid = centroids_;
  }
  return options;
}

void ValueCode::Upload(Allocator& allocator, int64_t channels, cudaStream_t stream) {
  const PackedTables packed = PackTables(coding_->quantizer);
  period_ = packed.period;
  dense_offset_ = DenseOffset(static_cast<int64_t>(packed.bytes.size()));
  const int64_t bytes = dense_offset_ + static_cast<int64_t>(sizeof(DenseTables));
  const int64_t most =
      DenseOffset(MostEntryBytes(channels)) + static_cast<int64_t>(sizeof(DenseTables));
  if (most > bytes_) {
    // Kernels of an earlier iteration are done with the former one: used_ lies behind them.
    device_ = allocator.Allocate(most, MemoryCategory::SAVED);
    host_ = std::make_unique<PinnedBytes>(most);
    bytes_ = most;
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
  if (wanted && !unread_ && uses_ >= kUses) {
    sample_dtype_ = dtype_;
    pieces_ = SamplePieces(chunking);
    uint8_t* to = ReserveSample();
    for (const Chunk& piece : pieces_) {
      const int64_t size = piece.shape.elements() * SizeOf(dtype_);
      const auto* from = static_cast<const uint8_t*>(value.raw()) + piece.offset * SizeOf(dtype_);
      ENCKE_CODEC_CUDA(cudaMemcpyAsync(to, from, size, cudaMemcpyDeviceToHost, stream));
      to += size;
    }
    unread_ = true;
  }
  used_.Record(stream);
}

// Memory for pieces_.
uint8_t* ValueCode::ReserveSample() {
  int64_t bytes = 0;
  for (const Chunk& piece : pieces_) bytes += piece.shape.elements() * SizeOf(dtype_);
  if (sample_ == nullptr || sample_bytes_ < bytes) {
    sample_.reset();
    sample_ = std::make_unique<PinnedBytes>(bytes);
    sample_bytes_ = bytes;
  }
  return sample_->data();
}

DeviceCoding ValueCode::device() const {
  const auto* bytes = static_cast<const uint8_t*>(device_->data());
  const auto* dense = reinterpret_cast<const DenseTables*>(bytes + dense_offset_);
  return {dtype_, coding_->quantizer.mode(), bytes, period_, tables_.empty() ? nullptr : dense};
}

}  // namespace encke::cuda
