#include "compression/cuda/cuda_check.h"

#include <algorithm>

#include "engine/core/error.h"

namespace encke::cuda {

void CheckCodecCall(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  const bool memory = status == cudaErrorMemoryAllocation;
  throw Error(memory ? ErrorKind::MEMORY : ErrorKind::DEVICE,
              StrCat(cudaGetErrorString(status), " in ", call), "CUDA");
}

CodecStream::CodecStream() {
  ENCKE_CODEC_CUDA(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
}

CodecStream::~CodecStream() { cudaStreamDestroy(stream_); }

CodecEvent::CodecEvent() {
  ENCKE_CODEC_CUDA(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming));
}

CodecEvent::~CodecEvent() { cudaEventDestroy(event_); }

void CodecEvent::Record(cudaStream_t stream) { ENCKE_CODEC_CUDA(cudaEventRecord(event_, stream)); }

void CodecEvent::MakeWait(cudaStream_t stream) const {
  ENCKE_CODEC_CUDA(cudaStreamWaitEvent(stream, event_, 0));
}

bool CodecEvent::Done() const {
  const cudaError_t status = cudaEventQuery(event_);
  if (status == cudaErrorNotReady) return false;
  ENCKE_CODEC_CUDA(status);
  return true;
}

void CodecEvent::Wait() const { ENCKE_CODEC_CUDA(cudaEventSynchronize(event_)); }

EventPool::Held EventPool::Take() {
  if (free_.empty()) return Held(new CodecEvent, {this});
  CodecEvent* event = free_.back().release();
  free_.pop_back();
  return Held(event, {this});
}

PinnedBytes::PinnedBytes(int64_t bytes) {
  void* data = nullptr;
  ENCKE_CODEC_CUDA(cudaMallocHost(&data, std::max<int64_t>(bytes, 1)));
  data_ = static_cast<uint8_t*>(data);
}

PinnedBytes::~PinnedBytes() { cudaFreeHost(data_); }

}  // namespace encke::cuda
