// Speed of the codec's kernels: GB/s of raw bytes, encoding and decoding, beside a device-to-device
// copy of the same bytes. Prints one JSON object.
//
//   gpu_codec_benchmark [MiB of one value, default 256]
#include <algorithm>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>

#include "compression/cuda/cuda_check.h"
#include "tests/compression/codec_testing.h"
#include "tests/compression/cuda/gpu_codec.h"

namespace encke {
namespace {

constexpr int64_t kChunkBytes = 16 << 10;
constexpr int kRuns = 20;

// Milliseconds of the fastest of some runs of work on the default stream.
double Milliseconds(const std::function<void()>& work) {
  cudaEvent_t begin, end;
  ENCKE_CODEC_CUDA(cudaEventCreate(&begin));
  ENCKE_CODEC_CUDA(cudaEventCreate(&end));
  double best = 1e30;
  for (int run = 0; run < kRuns; ++run) {
    ENCKE_CODEC_CUDA(cudaEventRecord(begin));
    work();
    ENCKE_CODEC_CUDA(cudaEventRecord(end));
    ENCKE_CODEC_CUDA(cudaEventSynchronize(end));
    float time = 0;
    ENCKE_CODEC_CUDA(cudaEventElapsedTime(&time, begin, end));
    best = std::min<double>(best, time);
  }
  ENCKE_CODEC_CUDA(cudaEventDestroy(begin));
  ENCKE_CODEC_CUDA(cudaEventDestroy(end));
  return best;
}

double Gigabytes(int64_t bytes, double milliseconds) {
  return static_cast<double>(bytes) / milliseconds / 1e6;
}

// One sample's maps, over and over: enough of them for the caches not to hold the value.
std::vector<float> Maps(const Shape& shape, bool relu) {
  std::vector<float> sample = testing::ReluMaps(shape.WithBatch(1), 1);
  if (!relu) {
    const std::vector<float> other = testing::ReluMaps(shape.WithBatch(1), 2);
    for (size_t i = 0; i < sample.size(); ++i) sample[i] -= other[i];
  }
  std::vector<float> all;
  for (int64_t n = 0; n < shape.n; ++n) all.insert(all.end(), sample.begin(), sample.end());
  return all;
}

nlohmann::json Measure(const std::string& codec, const std::string& input, DType dtype,
                       const Shape& shape, const std::vector<float>& floats, float bound) {
  const std::vector<uint16_t> half =
      dtype == DType::BF16 ? testing::ToBfloat16(floats) : std::vector<uint16_t>();
  const void* data = dtype == DType::F32 ? static_cast<const void*>(floats.data()) : half.data();
  ValueCoding coding(testing::Uniform(bound, input == "relu"), dtype, shape.c);
  FindCodec(codec)->Prepare({{data, shape.WithBatch(1)}}, dtype, &coding);
  testing::GpuValue value(data, dtype, shape, coding, kChunkBytes);
  const int64_t bytes = shape.elements() * SizeOf(dtype);
  const double encode = Milliseconds([&] { value.Encode(); });
  const double decode = Milliseconds([&] { value.Decode(0, shape.n); });
  const cuda::ValueRecord record = value.Record();
  return {{"codec", codec},
          {"input", input},
          {"dtype", NameOf(dtype)},
          {"coded_as", coding.tables.empty() ? "fast" : "dense"},
          {"bound", bound},
          {"raw_bytes", bytes},
          {"ratio", static_cast<double>(bytes) / static_cast<double>(record.end - record.begin)},
          {"encode_gb_per_s", Gigabytes(bytes, encode)},
          {"decode_gb_per_s", Gigabytes(bytes, decode)},
          {"broken", record.broken != ~0u}};
}

double CopyRate(int64_t bytes) {
  testing::DeviceBytes from(bytes), to(bytes);
  return Gigabytes(
      bytes, Milliseconds([&] {
        ENCKE_CODEC_CUDA(cudaMemcpyAsync(to.data(), from.data(), bytes, cudaMemcpyDeviceToDevice));
      }));
}

nlohmann::json Report(int64_t mebibytes) {
  const Shape sample{1, 56, 56, 64};
  const Shape shape = sample.WithBatch(
      std::max<int64_t>(1, (mebibytes << 20) / (sample.elements() * int64_t{sizeof(float)})));
  cudaDeviceProp properties;
  ENCKE_CODEC_CUDA(cudaGetDeviceProperties(&properties, 0));
  nlohmann::json report = {{"gpu", properties.name},
                           {"copy_gb_per_s", CopyRate(shape.elements() * 4)},
                           {"results", nlohmann::json::array()}};
  for (const bool relu : {true, false}) {
    const std::vector<float> floats = Maps(shape, relu);
    for (const char* codec : {"fast", "dense"}) {
      for (const DType dtype : {DType::F32, DType::BF16}) {
        for (const float bound : {0.01f, 0.1f, 0.3f}) {
          report["results"].push_back(
              Measure(codec, relu ? "relu" : "signed", dtype, shape, floats, bound));
        }
      }
    }
  }
  return report;
}

}  // namespace
}  // namespace encke

int main(int argc, char** argv) {
  if (!encke::testing::HasGpu()) {
    std::cout << nlohmann::json{{"gpu", nullptr}} << "\n";
    return 0;
  }
  std::cout << encke::Report(argc > 1 ? std::atoll(argv[1]) : 256).dump(1) << "\n";
  return 0;
}
