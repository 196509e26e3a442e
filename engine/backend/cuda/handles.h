// Owners of what CUDA, cuDNN and cuBLAS hand out.
#pragma once

#include "engine/backend/cuda/status.h"

namespace encke::cuda {

// Makes a GPU the calling thread's; the first member of what works on it.
class CurrentDevice {
 public:
  explicit CurrentDevice(int index) { ENCKE_CUDA(cudaSetDevice(index)); }
};

class Stream {
 public:
  Stream() { ENCKE_CUDA(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
  ~Stream() { ENCKE_CUDA_WARN(cudaStreamDestroy(stream_)); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  cudaStream_t get() const { return stream_; }
  void Synchronize() const { ENCKE_CUDA(cudaStreamSynchronize(stream_)); }

 private:
  cudaStream_t stream_ = nullptr;
};

class Event {
 public:
  Event() { ENCKE_CUDA(cudaEventCreate(&event_)); }
  ~Event() { ENCKE_CUDA_WARN(cudaEventDestroy(event_)); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void Record(cudaStream_t stream) { ENCKE_CUDA(cudaEventRecord(event_, stream)); }
  // What the stream gets to do from now on waits for this event.
  void HoldBack(cudaStream_t stream) const { ENCKE_CUDA(cudaStreamWaitEvent(stream, event_, 0)); }
  // Waits for this event; milliseconds since `start`.
  float MillisecondsSince(const Event& start) const {
    float milliseconds = 0;
    ENCKE_CUDA(cudaEventSynchronize(event_));
    ENCKE_CUDA(cudaEventElapsedTime(&milliseconds, start.event_, event_));
    return milliseconds;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

class CudnnHandle {
 public:
  explicit CudnnHandle(cudaStream_t stream) {
    ENCKE_CUDNN(cudnnCreate(&handle_));
    ENCKE_CUDNN(cudnnSetStream(handle_, stream));
  }
  ~CudnnHandle() { ENCKE_CUDNN_WARN(cudnnDestroy(handle_)); }
  CudnnHandle(const CudnnHandle&) = delete;
  CudnnHandle& operator=(const CudnnHandle&) = delete;

  cudnnHandle_t get() const { return handle_; }

 private:
  cudnnHandle_t handle_ = nullptr;
};

class CublasHandle {
 public:
  explicit CublasHandle(cudaStream_t stream) {
    ENCKE_CUBLAS(cublasCreate(&handle_));
    ENCKE_CUBLAS(cublasSetStream(handle_, stream));
  }
  ~CublasHandle() { ENCKE_CUBLAS_WARN(cublasDestroy(handle_)); }
  CublasHandle(const CublasHandle&) = delete;
  CublasHandle& operator=(const CublasHandle&) = delete;

  cublasHandle_t get() const { return handle_; }

 private:
  cublasHandle_t handle_ = nullptr;
};

}  // namespace encke::cuda
