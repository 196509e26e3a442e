#include "tools/encke/device_measurement.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

namespace encke::cli {
namespace {

constexpr int kId = 0;  // of the one value in the pool

// A pool on the device for one value under one codec.
class DevicePool {
 public:
  DevicePool(Backend* backend, const CodecInput& input, const std::string& codec)
      : backend_(*backend),
        store_(backend->NewActivationStore({})),
        original_(Empty(input.shape)),
        decoded_(Empty(input.shape)),
        options_{codec, input.options} {
    backend_.CopyFromHost(input.data.data(), original_);
  }

  // Seconds.
  double Put() {
    return Timed([&] {
      stored_ = store_->Put(kId, original_, options_);
      store_->BeforeOverwrite(kId);  // so that the backend's stream waits for the encoder
    });
  }
  double Get() {
    return Timed([&] { store_->Get(kId, 0, original_.shape().n, decoded_); });
  }
  void Release() { store_->Release(kId); }

  // Of the last Put, or of the one before.
  int64_t stored_bytes() const { return stored_.stored_bytes; }
  std::vector<float> Decoded() {
    std::vector<float> elements(decoded_.elements());
    backend_.CopyToHost(decoded_, elements.data());
    return elements;
  }

 private:
  Tensor Empty(const Shape& shape) {
    return Tensor::Empty(backend_.allocator(), shape, DType::F32, MemoryCategory::TRANSIENT);
  }

  template <typename Work>
  double Timed(const Work& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    backend_.Synchronize();
    return SecondsSince(start);
  }

  Backend& backend_;
  std::unique_ptr<ActivationStore> store_;
  Tensor original_, decoded_;
  PutOptions options_;
  StoredValue stored_;
};

CodecMeasurement Measure(Backend* backend, const CodecInput& input, const std::string& codec,
                         int repeats) {
  DevicePool pool(backend, input, codec);
  CodecMeasurement result = NotYetMeasured(input, codec);
  pool.Put();  // nothing is known of the value yet, and no memory taken
  pool.Release();
  CodecTimes& times = result.one_thread;
  times.learn_and_encode = pool.Put();  // from the first one's sample
  times.decode = pool.Get();
  pool.Release();
  for (int i = 0; i < repeats; ++i) {
    const double encode = pool.Put();
    times.encode = i == 0 ? encode : std::min(times.encode, encode);
    times.decode = std::min(times.decode, pool.Get());
    pool.Release();
  }
  result.stored_bytes = pool.stored_bytes();
  result.errors = CodecErrors::Of(input, pool.Decoded().data());
  return result;
}

}  // namespace

std::vector<std::string> GpuCodecNames() { return {"raw", "fast", "dense"}; }

std::vector<CodecMeasurement> MeasureOnDevice(Backend& backend, const CodecInput& input,
                                              const std::vector<std::string>& codecs, int repeats) {
  const double entropy_bytes = ContextEntropyBytes(input);
  std::vector<CodecMeasurement> results;
  for (const std::string& codec : codecs) {
    results.push_back(Measure(&backend, input, codec, repeats));
    results.back().entropy_bytes = entropy_bytes;
  }
  return results;
}

}  // namespace encke::cli
