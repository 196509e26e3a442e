// How one value of the pool is coded, from iteration to iteration: quantiser and code tables, on
// the host and on the device.
#pragma once

#include <memory>
#include <optional>

#include "compression/activation_store.h"
#include "compression/cuda/codec_kernels.h"
#include "compression/cuda/cuda_check.h"
#include "compression/cuda/value_sample.h"
#include "compression/value_coding.h"

namespace encke::cuda {

// The tables of DENSE and the centroids of an activity need a sample of the value on the host,
// which nobody waits for: they are made from the sample of an earlier iteration, and serve until
// the next is taken. Until there is one, FAST serves, and the middle of each cell.
class ValueCode {
 public:
  // `turn`: what is learnt first serves so much shorter, so that not all values' is due at a time.
  explicit ValueCode(int turn) : turn_(turn % kUses) {}

  // Makes it what `options` ask for and sends it to the device where it changed, on `stream`.
  // `dense`: whether to learn tables.
  void Update(Allocator& allocator, const Tensor& value, const Chunking& chunking, bool dense,
              const CodecOptions& options, cudaStream_t stream);
  // Copies a sample when one is due. To be called behind Update, in the
  // same stream as the encoder.
  void TakeSample(const Tensor& value, const Chunking& chunking, cudaStream_t stream);

  DeviceCoding device() const;

  // What was found when the value was put last; nothing before that.
  std::optional<StoredValue> last;

 private:
  static constexpr int kUses = 16;  // then a sample is due

  std::vector<ChunkView> Sample(const Chunking& chunking) const;
  CodecOptions WithCentroids() const;
  void Learn(const Chunking& chunking, int64_t channels);
  uint8_t* ReserveSample();
  void Upload(Allocator& allocator, int64_t channels, cudaStream_t stream);

  bool wants_dense_ = false;
  DType dtype_ = DType::F32;
  CodecOptions options_;
  std::unique_ptr<ValueCoding> coding_;
  std::vector<uint8_t> tables_;    // DENSE's, in compact form; empty: FAST
  std::vector<int8_t> centroids_;  // Activity::centroid
  double learnt_width_ = 0;        // of inactive cells, for which they were found
  int turn_;
  int uses_ = kUses;  // of what was learnt
  std::shared_ptr<Buffer> device_;
  std::unique_ptr<PinnedBytes> host_;
  int64_t bytes_ = 0;         // of either
  int64_t dense_offset_ = 0;  // where the tables of DENSE begin
  uint32_t period_ = 1;
  std::vector<Chunk> pieces_;
  std::unique_ptr<PinnedBytes> sample_;
  int64_t sample_bytes_ = 0;  // of memory
  DType sample_dtype_ = DType::F32;
  bool unread_ = false;  // nothing has been learnt from the sample
  CodecEvent used_;      // behind the last upload and sample
};

}  // namespace encke::cuda
