#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "engine/core/error.h"
#include "engine/core/rng.h"
#include "tests/emulated_gpu/emulated_gpu.h"

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

namespace encke::emulated_gpu {
namespace {

constexpr size_t kMemory = size_t{80} << 30;
constexpr int kMultiprocessors = 132;
constexpr int kGarbage = 0xcb;

struct Runtime {
  Rng rng{0, RngStream::TEST};
  std::vector<cudaStream_t> streams;
  std::vector<std::unique_ptr<CUevent_st>> events;
  std::map<void*, size_t> device;
  size_t device_bytes = 0;
  std::mutex pinned_mutex;  // with what follows; the rest belongs to one thread
  std::map<const char*, size_t> pinned;
  int pinned_calls = 0;
  cudaError_t last_error = cudaSuccess;
  int host_waits = 0;
  Costs costs;
  int64_t copied_to_device = 0;
  int copies_to_host = 0;
};

// Outlives whatever the program has in static variables.
Runtime& State() {
  static auto* runtime = new Runtime;
  return *runtime;
}

// Null is the default stream.
std::deque<CUstream_st::Work>& QueueOf(cudaStream_t stream) {
  Runtime& runtime = State();
  if (runtime.streams.empty()) runtime.streams.push_back(new CUstream_st);
  return (stream == nullptr ? runtime.streams.front() : stream)->queue;
}

// Does one piece of work; false when all queues are empty.
bool Step() {
  Runtime& runtime = State();
  std::vector<cudaStream_t> ready;
  bool any = false;
  for (cudaStream_t stream : runtime.streams) {
    if (stream->queue.empty()) continue;
    any = true;
    if (stream->queue.front().ready()) ready.push_back(stream);
  }
  if (!any) return false;
  ENCKE_CHECK(!ready.empty(), "all streams wait for each other");
  cudaStream_t stream = ready[runtime.rng.Below(ready.size())];
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

void FinishEverything() {
  while (Step()) {
  }
}

bool IsPinned(const void* data) {
  std::lock_guard<std::mutex> lock(State().pinned_mutex);
  const auto* at = static_cast<const char*>(data);
  const auto& pinned = State().pinned;
  const auto behind = pinned.upper_bound(at);
  if (behind == pinned.begin()) return false;
  const auto& [begin, bytes] = *std::prev(behind);
  return at < begin + bytes;
}

// As aligned as CUDA's, and no longer than asked for, so that AddressSanitizer sees what goes
// beyond.
void* Allocate(size_t bytes) {
  void* data = nullptr;
  if (posix_memalign(&data, 256, std::max<size_t>(bytes, 1)) != 0) return nullptr;
  std::memset(data, kGarbage, bytes);
  return data;
}

}  // namespace

void SeedOrder(uint64_t seed) { State().rng = Rng(seed, RngStream::TEST); }

void Enqueue(cudaStream_t stream, std::function<void()> work) {
  QueueOf(stream).push_back({[] { return true; }, std::move(work)});
}

int TakeHostWaits() { return std::exchange(State().host_waits, 0); }
Costs TakeCosts() {
  std::lock_guard<std::mutex> lock(State().pinned_mutex);
  Costs costs = std::exchange(State().costs, {});
  costs.page_locked = std::exchange(State().pinned_calls, 0);
  return costs;
}
int TakeCopiesToHost() { return std::exchange(State().copies_to_host, 0); }
int64_t TakeCopiedToDevice() { return std::exchange(State().copied_to_device, 0); }

}  // namespace encke::emulated_gpu

using encke::emulated_gpu::Allocate;
using encke::emulated_gpu::Enqueue;
using encke::emulated_gpu::FinishEverything;
using encke::emulated_gpu::IsPinned;
using encke::emulated_gpu::QueueOf;
using encke::emulated_gpu::State;
using encke::emulated_gpu::Step;
using encke::emulated_gpu::WaitUntil;

extern "C" {

// ---------------------------------------------------------------------------------------- devices

cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int) { return cudaSuccess; }

cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {};
  std::strcpy(properties->name, "Emulated GPU");
  properties->major = 9;
  properties->multiProcessorCount = encke::emulated_gpu::kMultiprocessors;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  if (attribute != cudaDevAttrMultiProcessorCount) return cudaErrorInvalidValue;
  *value = encke::emulated_gpu::kMultiprocessors;
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *total = encke::emulated_gpu::kMemory;
  *free = *total - State().device_bytes;
  return cudaSuccess;
}

cudaError_t cudaGetLastError() { return std::exchange(State().last_error, cudaSuccess); }
const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorMemoryAllocation ? "out of memory" : "an error of the emulated GPU";
}

// ----------------------------------------------------------------------------------------- memory

cudaError_t cudaMalloc(void** data, size_t bytes) {
  ++State().costs.device_allocations;
  *data = nullptr;
  if (bytes <= encke::emulated_gpu::kMemory - State().device_bytes) *data = Allocate(bytes);
  if (*data == nullptr) return State().last_error = cudaErrorMemoryAllocation;
  State().device[*data] = bytes;
  State().device_bytes += bytes;
  return cudaSuccess;
}

cudaError_t cudaFree(void* data) {
  if (data == nullptr) return cudaSuccess;
  const auto found = State().device.find(data);
  if (found == State().device.end()) return State().last_error = cudaErrorInvalidValue;
  FinishEverything();
  ++State().costs.device_allocations;
  State().device_bytes -= found->second;
  State().device.erase(found);
  std::free(data);
  return cudaSuccess;
}

cudaError_t cudaMallocHost(void** data, size_t bytes) {
  *data = Allocate(bytes);
  if (*data == nullptr) return cudaErrorMemoryAllocation;
  std::lock_guard<std::mutex> lock(State().pinned_mutex);
  ++State().pinned_calls;
  State().pinned[static_cast<const char*>(*data)] = bytes;
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* data) {
  std::lock_guard<std::mutex> lock(State().pinned_mutex);
  ++State().pinned_calls;
  State().pinned.erase(static_cast<const char*>(data));
  std::free(data);
  return cudaSuccess;
}

// The default stream's: streams that do not block (and all of ours do not) are not waited for.
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind) {
  cudaStreamSynchronize(nullptr);
  if (bytes > 0) std::memcpy(to, from, bytes);
  return cudaSuccess;
}

cudaError_t cudaMemset(void* to, int value, size_t bytes) {
  cudaStreamSynchronize(nullptr);
  std::memset(to, value, bytes);
  return cudaSuccess;
}

// Of pageable memory of the host a copy is taken at once; one to it is awaited.
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  if (kind == cudaMemcpyHostToDevice) State().copied_to_device += static_cast<int64_t>(bytes);
  State().copies_to_host += kind == cudaMemcpyDeviceToHost;
  const bool pageable = (kind == cudaMemcpyHostToDevice && !IsPinned(from)) ||
                        (kind == cudaMemcpyDeviceToHost && !IsPinned(to));
  State().costs.pageable_copies += pageable;
  if (pageable && kind == cudaMemcpyHostToDevice) {
    const auto* begin = static_cast<const char*>(from);
    auto staged = std::make_shared<std::vector<char>>(begin, begin + bytes);
    Enqueue(stream, [=] { std::memcpy(to, staged->data(), bytes); });
    return cudaSuccess;
  }
  Enqueue(stream, [=] { std::memcpy(to, from, bytes); });
  if (pageable) return cudaStreamSynchronize(stream);
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  Enqueue(stream, [=] { std::memset(to, value, bytes); });
  return cudaSuccess;
}

// ---------------------------------------------------------------------------- streams and events

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  QueueOf(nullptr);
  *stream = new CUstream_st;
  State().streams.push_back(*stream);
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  WaitUntil([=] { return QueueOf(stream).empty(); });
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  cudaStreamSynchronize(stream);
  auto& streams = State().streams;
  streams.erase(std::remove(streams.begin(), streams.end(), stream), streams.end());
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  ++State().costs.events;
  State().events.push_back(std::make_unique<CUevent_st>());
  *event = State().events.back().get();
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  return cudaEventCreate(event);
}

// Work that was queued for it still refers to it.
cudaError_t cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const uint64_t ticket = ++event->recorded;
  Enqueue(stream, [=] { event->done = std::max(event->done, ticket); });
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const uint64_t ticket = event->recorded;
  QueueOf(stream).push_back({[=] { return event->done >= ticket; }, [] {}});
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

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t, cudaEvent_t) {
  *milliseconds = 1 + static_cast<float>(State().rng.Below(8));
  return cudaSuccess;
}

}  // extern "C"
