// A library that the CUDA driver loads into a program (CUDA_INJECTION64_PATH) and that writes down
// what the program has the GPU do, by CUPTI: lines of tab-separated fields to the file of
// ENCKE_CUDA_TRACE,
//
//   kernel|copy|fill  begin  end  stream  name     work on the device, nanoseconds of one clock
//   call              begin  end  thread  name     calls of the CUDA runtime, on the host
//
// tools/bench/cuda_trace.py sums them up. NVIDIA's own programs do the same and more, but not on
// every machine.
#include <cupti.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>

namespace {

constexpr size_t kBufferBytes = 8 << 20;

FILE* trace = nullptr;

void Write(const char* kind, uint64_t begin, uint64_t end, uint32_t where, const char* name) {
  std::fprintf(trace, "%s\t%llu\t%llu\t%u\t%s\n", kind, static_cast<unsigned long long>(begin),
               static_cast<unsigned long long>(end), where, name);
}

void WriteRecord(const CUpti_Activity* record) {
  switch (record->kind) {
    case CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL: {
      const auto* kernel = reinterpret_cast<const CUpti_ActivityKernel10*>(record);
      Write("kernel", kernel->start, kernel->end, kernel->streamId, kernel->name);
      break;
    }
    case CUPTI_ACTIVITY_KIND_MEMCPY: {
      const auto* copy = reinterpret_cast<const CUpti_ActivityMemcpy6*>(record);
      const char* way = copy->copyKind == CUPTI_ACTIVITY_MEMCPY_KIND_HTOD   ? "to device"
                        : copy->copyKind == CUPTI_ACTIVITY_MEMCPY_KIND_DTOH ? "to host"
                        : copy->copyKind == CUPTI_ACTIVITY_MEMCPY_KIND_DTOD ? "on device"
                                                                            : "elsewhere";
      Write("copy", copy->start, copy->end, copy->streamId, way);
      break;
    }
    case CUPTI_ACTIVITY_KIND_MEMSET: {
      const auto* fill = reinterpret_cast<const CUpti_ActivityMemset4*>(record);
      Write("fill", fill->start, fill->end, fill->streamId, "memset");
      break;
    }
    case CUPTI_ACTIVITY_KIND_RUNTIME: {
      const auto* call = reinterpret_cast<const CUpti_ActivityAPI*>(record);
      const char* name = nullptr;
      if (cuptiGetCallbackName(CUPTI_CB_DOMAIN_RUNTIME_API, call->cbid, &name) != CUPTI_SUCCESS)
        name = "unknown";
      Write("call", call->start, call->end, call->threadId, name);
      break;
    }
    default:
      break;
  }
}

void CUPTIAPI GiveBuffer(uint8_t** buffer, size_t* bytes, size_t* most_records) {
  *buffer = static_cast<uint8_t*>(std::aligned_alloc(64, kBufferBytes));
  *bytes = *buffer == nullptr ? 0 : kBufferBytes;
  *most_records = 0;
}

void CUPTIAPI TakeBuffer(CUcontext, uint32_t, uint8_t* buffer, size_t, size_t valid) {
  CUpti_Activity* record = nullptr;
  while (cuptiActivityGetNextRecord(buffer, valid, &record) == CUPTI_SUCCESS) WriteRecord(record);
  std::free(buffer);
}

void Finish() {
  cuptiActivityFlushAll(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED);
  std::fclose(trace);
}

bool Begin(CUpti_ActivityKind kind) {
  const CUptiResult result = cuptiActivityEnable(kind);
  if (result == CUPTI_SUCCESS) return true;
  const char* text = nullptr;
  cuptiGetResultString(result, &text);
  std::fprintf(stderr, "cuda_trace: activity %d: %s\n", static_cast<int>(kind),
               text == nullptr ? "?" : text);
  return false;
}

}  // namespace

// Called by the driver when the program first uses it.
extern "C" int InitializeInjection() {
  const char* path = std::getenv("ENCKE_CUDA_TRACE");
  if (path == nullptr) return 1;
  trace = std::fopen(path, "w");
  if (trace == nullptr) {
    std::fprintf(stderr, "cuda_trace: cannot write %s\n", path);
    return 0;
  }
  cuptiActivityRegisterCallbacks(GiveBuffer, TakeBuffer);
  for (const CUpti_ActivityKind kind :
       {CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL, CUPTI_ACTIVITY_KIND_MEMCPY,
        CUPTI_ACTIVITY_KIND_MEMSET, CUPTI_ACTIVITY_KIND_RUNTIME}) {
    if (!Begin(kind)) return 0;
  }
  std::atexit(Finish);
  return 1;
}
