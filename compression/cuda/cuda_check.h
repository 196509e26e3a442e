// CUDA's handles and return codes for the codec and its pool.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace encke::cuda {

// Throws Error: MEMORY when the device has no more, DEVICE otherwise.
void CheckCodecCall(cudaError_t status, const char* call);

class CodecStream {
 public:
  CodecStream();
  ~CodecStream();
  CodecStream(const CodecStream&) = delete;
  CodecStream& operator=(const CodecStream&) = delete;
  cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

// A point in a stream's work, for other streams to wait for.
class CodecEvent {
 public:
  CodecEvent();
  ~CodecEvent();
  CodecEvent(const CodecEvent&) = delete;
  CodecEvent& operator=(const CodecEvent&) = delete;

  void Record(cudaStream_t stream);
  void MakeWait(cudaStream_t stream) const;
  bool Done() const;
  void Wait() const;  // the host

 private:
  cudaEvent_t event_ = nullptr;
};

// Events that come back when nobody holds them: none is made in the steady state. Not thread-safe;
// outlives what it gives. What a stream or the host was told to wait for stays what it was.
class EventPool {
 public:
  EventPool() = default;
  EventPool(const EventPool&) = delete;
  EventPool& operator=(const EventPool&) = delete;

  struct Return {
    EventPool* pool;
    void operator()(CodecEvent* event) const { pool->free_.emplace_back(event); }
  };
  using Held = std::unique_ptr<CodecEvent, Return>;
  // One that may have been recorded before.
  Held Take();

 private:
  std::vector<std::unique_ptr<CodecEvent>> free_;
};

// Page-locked memory of the host.
class PinnedBytes {
 public:
  explicit PinnedBytes(int64_t bytes);
  ~PinnedBytes();
  PinnedBytes(const PinnedBytes&) = delete;
  PinnedBytes& operator=(const PinnedBytes&) = delete;
  uint8_t* data() const { return data_; }

 private:
  uint8_t* data_ = nullptr;
};

}  // namespace encke::cuda

// Every return code of CUDA's runtime in this folder goes through this.
#define ENCKE_CODEC_CUDA(call) ::encke::cuda::CheckCodecCall((call), #call)
