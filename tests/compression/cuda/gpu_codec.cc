#include "tests/compression/cuda/gpu_codec.h"

#include "compression/cuda/cuda_check.h"
#include "compression/cuda/rule_tables.h"
#include "compression/dense_tables.h"
#include "engine/core/error.h"

namespace encke::testing {
namespace {

constexpr uint64_t kPage = 4096;

int Multiprocessors() {
  int count = 0, device = 0;
  ENCKE_CODEC_CUDA(cudaGetDevice(&device));
  ENCKE_CODEC_CUDA(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device));
  return count;
}

std::vector<uint8_t> DenseOf(const ValueCoding& coding) {
  if (coding.tables.empty()) return {};
  const simd::DenseTables dense = ExpandDenseTables(coding.tables);
  const auto* bytes = reinterpret_cast<const uint8_t*>(&dense);
  return {bytes, bytes + sizeof(dense)};
}

uint32_t MarksOf(const Chunking& chunking, const ValueCoding& coding) {
  return coding.tables.empty()
             ? cuda::SegmentsOf(static_cast<uint32_t>(chunking.Largest().elements()))
             : 0;
}

}  // namespace

bool HasGpu() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess && count > 0;
}

DeviceBytes::DeviceBytes(uint64_t bytes) : bytes_(bytes) {
  void* data = nullptr;
  ENCKE_CODEC_CUDA(cudaMalloc(&data, bytes + 1));
  data_ = static_cast<uint8_t*>(data);
  ENCKE_CODEC_CUDA(cudaMemset(data_, 0, bytes));
}

DeviceBytes::DeviceBytes(const void* host, uint64_t bytes) : DeviceBytes(bytes) {
  FromHost(host, 0, bytes);
}

DeviceBytes::~DeviceBytes() { cudaFree(data_); }

std::vector<uint8_t> DeviceBytes::ToHost() const {
  std::vector<uint8_t> host(bytes_);
  ENCKE_CODEC_CUDA(cudaMemcpy(host.data(), data_, bytes_, cudaMemcpyDeviceToHost));
  return host;
}

void DeviceBytes::FromHost(const void* host, uint64_t offset, uint64_t bytes) {
  ENCKE_CHECK(offset + bytes <= bytes_);
  ENCKE_CODEC_CUDA(cudaMemcpy(data_ + offset, host, bytes, cudaMemcpyHostToDevice));
}

GpuValue::GpuValue(const void* data, DType dtype, const Shape& shape, const ValueCoding& coding,
                   int64_t chunk_bytes)
    : shape_(shape),
      dtype_(dtype),
      value_(data, shape.elements() * SizeOf(dtype)),
      tables_(cuda::PackTables(coding.quantizer).bytes.data(),
              cuda::PackTables(coding.quantizer).bytes.size()),
      dense_(DenseOf(coding).data(), DenseOf(coding).size()),
      scratch_(coding.tables.empty()
                   ? 0
                   : cuda::DenseScratchBytes(
                         Chunking(shape, dtype, chunk_bytes),
                         cuda::DenseWarps(Multiprocessors(), Chunking(shape, dtype, chunk_bytes)))),
      arena_(shape.elements() * SizeOf(dtype) * 2 + 64 * kPage),
      used_(sizeof(uint64_t)),
      record_(sizeof(cuda::ValueRecord)),
      statistics_(Chunking(shape, dtype, chunk_bytes).count() * sizeof(cuda::ChunkStatistics)),
      out_(shape.elements() * SizeOf(dtype)),
      view_{{arena_.data(), reinterpret_cast<uint64_t*>(used_.data()), arena_.bytes()},
            reinterpret_cast<cuda::ValueRecord*>(record_.data()),
            Chunking(shape, dtype, chunk_bytes),
            MarksOf(Chunking(shape, dtype, chunk_bytes), coding),
            reinterpret_cast<cuda::ChunkStatistics*>(statistics_.data())},
      coding_{dtype, coding.quantizer.mode(), tables_.data(),
              cuda::PackTables(coding.quantizer).period,
              coding.tables.empty() ? nullptr
                                    : reinterpret_cast<const cuda::DenseTables*>(dense_.data())},
      warps_(cuda::DenseWarps(Multiprocessors(), view_.chunking)) {}

void GpuValue::Encode() {
  ENCKE_CODEC_CUDA(cudaMemsetAsync(used_.data(), 0, used_.bytes()));
  cuda::LaunchEncode(view_, value_.data(), coding_, scratch_.data(), warps_, nullptr);
  ENCKE_CODEC_CUDA(cudaGetLastError());
}

void GpuValue::Decode(int64_t first, int64_t count) {
  const cuda::DecodeSpan span = {out_.data(), first * shape_.sample(),
                                 (first + count) * shape_.sample(),
                                 static_cast<uint64_t>(view_.chunking.ChunkOf(first)),
                                 static_cast<uint64_t>(view_.chunking.EndOf(first + count))};
  cuda::LaunchDecode(view_, span, coding_, scratch_.data(), warps_, nullptr);
  ENCKE_CODEC_CUDA(cudaGetLastError());
}

cuda::ValueRecord GpuValue::Record() const {
  cuda::ValueRecord record;
  ENCKE_CODEC_CUDA(cudaMemcpy(&record, record_.data(), sizeof(record), cudaMemcpyDeviceToHost));
  return record;
}

uint64_t GpuValue::ChunkOffset(int64_t chunk) const {
  return Record().begin + chunk * sizeof(cuda::StoredChunk);
}

cuda::StoredChunk GpuValue::ChunkAt(int64_t chunk) const {
  cuda::StoredChunk stored;
  ENCKE_CODEC_CUDA(cudaMemcpy(&stored, arena_.data() + ChunkOffset(chunk), sizeof(stored),
                              cudaMemcpyDeviceToHost));
  return stored;
}

std::vector<uint8_t> GpuValue::Stream(int64_t chunk) const {
  const cuda::StoredChunk stored = ChunkAt(chunk);
  std::vector<uint8_t> stream(stored.size);
  ENCKE_CODEC_CUDA(cudaMemcpy(stream.data(), arena_.data() + stored.offset, stored.size,
                              cudaMemcpyDeviceToHost));
  return stream;
}

std::vector<uint8_t> GpuValue::Elements(int64_t count) const {
  std::vector<uint8_t> elements = out_.ToHost();
  elements.resize(count * shape_.sample() * SizeOf(dtype_));
  return elements;
}

void GpuValue::ReplaceStream(int64_t chunk, const std::vector<uint8_t>& stream) {
  cuda::StoredChunk stored = ChunkAt(chunk);
  ENCKE_CHECK(stream.size() <= stored.size, stream.size(), " bytes for ", stored.size);
  stored.size = static_cast<uint32_t>(stream.size());
  arena_.FromHost(&stored, ChunkOffset(chunk), sizeof(stored));
  arena_.FromHost(stream.data(), stored.offset, stream.size());
}

void GpuValue::ForgetMarks() { view_.segments = 0; }

}  // namespace encke::testing
