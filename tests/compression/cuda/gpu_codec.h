// One value encoded and decoded by the kernels on a real GPU, for tests and benchmarks that compare
// them with the CPU.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>
#include <vector>

#include "compression/cuda/codec_kernels.h"
#include "compression/value_coding.h"

namespace encke::testing {

// Whether there is a GPU to run on.
bool HasGpu();

// Device memory; zero to begin with.
class DeviceBytes {
 public:
  explicit DeviceBytes(uint64_t bytes);
  DeviceBytes(const void* host, uint64_t bytes);
  ~DeviceBytes();
  DeviceBytes(const DeviceBytes&) = delete;
  DeviceBytes& operator=(const DeviceBytes&) = delete;

  uint8_t* data() const { return data_; }
  uint64_t bytes() const { return bytes_; }
  std::vector<uint8_t> ToHost() const;
  void FromHost(const void* host, uint64_t offset, uint64_t bytes);

 private:
  uint8_t* data_ = nullptr;
  uint64_t bytes_;
};

class GpuValue {
 public:
  // Copies of everything are kept on the device; `coding` may hold tables of DENSE.
  GpuValue(const void* data, DType dtype, const Shape& shape, const ValueCoding& coding,
           int64_t chunk_bytes);

  // Asynchronous, on the default stream. Encode begins with an empty arena every time.
  void Encode();
  void Decode(int64_t first, int64_t count);

  // These wait.
  cuda::ValueRecord Record() const;
  std::vector<uint8_t> Stream(int64_t chunk) const;
  // The decoded samples, from the first one on.
  std::vector<uint8_t> Elements(int64_t count) const;

  // Puts a stream that somebody else made in the place of a chunk's, as long as it is. REQUIRES: no
  // longer than the encoder's.
  void ReplaceStream(int64_t chunk, const std::vector<uint8_t>& stream);
  // Forgets the marks, as for streams from a CPU: they are walked instead. REQUIRES: encoded.
  void ForgetMarks();

  const Chunking& chunking() const { return view_.chunking; }

 private:
  cuda::StoredChunk ChunkAt(int64_t chunk) const;
  uint64_t ChunkOffset(int64_t chunk) const;

  Shape shape_;
  DType dtype_;
  DeviceBytes value_, tables_, dense_, scratch_, arena_, used_, record_, statistics_, out_;
  cuda::StoredValueView view_;
  cuda::DeviceCoding coding_;
  int warps_;
};

}  // namespace encke::testing
