#include "tests/compression/cuda/fake_cuda.h"

#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <vector>

#include "compression/cuda/codec_kernels.h"
#include "engine/core/error.h"
#include "engine/core/rng.h"
#include "tests/compression/cuda/emulation.h"

// CUDA's opaque handles, filled.
struct CUevent_st {
  uint64_t recorded = 0;
  uint64_t done = 0;
};

struct CUstream_st {
  struct Work {
    std::function<bool()> ready;
    std::function<void()> run;
  };
  std::deque<Work> queue;
};

namespace encke::testing {
namespace {

struct Fake {
  Rng rng{0, RngStream::TEST};
  std::vector<cudaStream_t> streams;
  std::vector<std::unique_ptr<CUevent_st>> events;
  int host_waits = 0;
  int64_t copied_to_device = 0;
};

Fake& State() {
  static Fake fake;
  return fake;
}

// Does one piece of work; false when all queues are empty.
bool Step() {
  Fake& fake = State();
  std::vector<cudaStream_t> ready;
  bool any = false;
  for (cudaStream_t stream : fake.streams) {
    if (stream->queue.empty()) continue;
    any = true;
    if (stream->queue.front().ready()) ready.push_back(stream);
  }
  if (!any) return false;
  ENCKE_CHECK(!ready.empty(), "all streams wait for each other");
  cudaStream_t stream = ready[fake.rng.Below(ready.size())];
  const CUstream_st::Work work = std::move(stream->queue.front());
  stream->queue.pop_front();
  work.run();
  return true;
}

template <typename Done>
void WaitUntil(const Done& done) {
  ++State().host_waits;
  while (!done()) ENCKE_CHECK(Step(), "waits for what nobody does");
}

}  // namespace

void SeedFakeCuda(uint64_t seed) { State().rng = Rng(seed, RngStream::TEST); }

void Enqueue(cudaStream_t stream, std::function<void()> work) {
  stream->queue.push_back({[] { return true; }, std::move(work)});
}

int TakeHostWaits() {
  const int waits = State().host_waits;
  State().host_waits = 0;
  return waits;
}

int64_t TakeCopiedToDevice() {
  const int64_t bytes = State().copied_to_device;
  State().copied_to_device = 0;
  return bytes;
}

}  // namespace encke::testing

using encke::testing::Enqueue;
using encke::testing::State;
using encke::testing::Step;
using encke::testing::WaitUntil;

extern "C" {

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new CUstream_st;
  State().streams.push_back(*stream);
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  WaitUntil([=] { return stream->queue.empty(); });
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  cudaStreamSynchronize(stream);
  auto& streams = State().streams;
  for (size_t i = 0; i < streams.size(); ++i) {
    if (streams[i] == stream) streams.erase(streams.begin() + static_cast<int64_t>(i));
  }
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  State().events.push_back(std::make_unique<CUevent_st>());
  *event = State().events.back().get();
  return cudaSuccess;
}

// Work that was queued for it still refers to it.
cudaError_t cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const uint64_t ticket = ++event->recorded;
  Enqueue(stream, [=] { event->done = ticket; });
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const uint64_t ticket = event->recorded;
  stream->queue.push_back({[=] { return event->done >= ticket; }, [] {}});
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  for (uint64_t i = State().rng.Below(8); i > 0; --i) Step();
  return event->done >= event->recorded ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (event->done >= event->recorded) return cudaSuccess;
  WaitUntil([=] { return event->done >= event->recorded; });
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  if (kind == cudaMemcpyHostToDevice) State().copied_to_device += static_cast<int64_t>(bytes);
  Enqueue(stream, [=] { std::memcpy(to, from, bytes); });
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  Enqueue(stream, [=] { std::memset(to, value, bytes); });
  return cudaSuccess;
}

cudaError_t cudaMallocHost(void** data, size_t bytes) {
  *data = std::malloc(bytes);
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* data) {
  std::free(data);
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) {
  *value = 2;
  return cudaSuccess;
}

cudaError_t cudaGetLastError() { return cudaSuccess; }
const char* cudaGetErrorString(cudaError_t) { return "a fake's error"; }

}  // extern "C"

namespace encke::cuda {

uint64_t DenseScratchBytes(const Chunking&, int) { return 64; }
int DenseWarps(int, const Chunking&) { return 1; }

void LaunchEncode(const StoredValueView& view, const void* value, const DeviceCoding& coding,
                  uint8_t*, int, cudaStream_t stream) {
  Enqueue(stream, [=] { testing::EmulateEncode(view, value, coding, false); });
}

void LaunchDecode(const StoredValueView& view, const DecodeSpan& span, const DeviceCoding& coding,
                  uint8_t*, int, cudaStream_t stream) {
  Enqueue(stream, [=] { testing::EmulateDecode(view, span, coding, true); });
}

}  // namespace encke::cuda
