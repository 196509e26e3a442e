#include "engine/core/memory.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "engine/core/error.h"
#include "engine/core/units.h"

namespace encke {
namespace {

constexpr int64_t kAlignment = 64;
constexpr int64_t kLarge = 256 << 10;  // from here on whole pages are asked of the kernel
constexpr int64_t kHugePage = 2 << 20;

// The number that the file begins with; 0 where there is none ("max").
int64_t NumberIn(const char* path) {
  std::FILE* file = std::fopen(path, "r");
  if (file == nullptr) return 0;
  long long number = 0;
  const int fields = std::fscanf(file, "%lld", &number);
  std::fclose(file);
  return fields == 1 ? number : 0;
}

// The machine's memory, or what a container may have of it.
int64_t MachineBytes() {
  int64_t bytes = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
  for (const char* path :
       {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    const int64_t most = NumberIn(path);
    if (most > 0) bytes = std::min(bytes, most);
  }
  return bytes;
}

class CpuAllocator : public Allocator {
 public:
  Device device() const override { return {}; }
  int64_t capacity() const override { return MachineBytes(); }

 protected:
  void* DoAllocate(int64_t bytes) override {
    if (bytes < kLarge)
      return std::aligned_alloc(kAlignment, RoundUp(std::max<int64_t>(bytes, 1), kAlignment));
    void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) return nullptr;
    // Faulting 4 KiB at a time costs more than zeroing does; a refusal is harmless.
    if (bytes >= kHugePage) madvise(data, bytes, MADV_HUGEPAGE);
    return data;
  }

  void DoFree(void* data, int64_t bytes) override {
    if (bytes < kLarge) {
      std::free(data);
    } else {
      munmap(data, bytes);
    }
  }
};

}  // namespace

const char* NameOf(MemoryCategory category) {
  static constexpr const char* kNames[kMemoryCategories] = {
      "parameter", "gradient", "optimizer", "saved", "transient", "workspace", "data", "unused"};
  return kNames[static_cast<int>(category)];
}

int64_t MemoryUse::total() const {
  int64_t sum = 0;
  for (int64_t b : bytes) sum += b;
  return sum;
}

int64_t MemoryUse::in_use() const { return total() - of(MemoryCategory::UNUSED); }

void MemoryLedger::Charge(MemoryCategory category, int64_t bytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  current_.bytes[static_cast<int>(category)] += bytes;
  Note();
}

void MemoryLedger::Discharge(MemoryCategory category, int64_t bytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  current_.bytes[static_cast<int>(category)] -= bytes;
}

void MemoryLedger::Move(MemoryCategory from, MemoryCategory to, int64_t bytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  current_.bytes[static_cast<int>(from)] -= bytes;
  current_.bytes[static_cast<int>(to)] += bytes;
  Note();
}

void MemoryLedger::Note() {
  peak_total_ = std::max(peak_total_, current_.total());
  if (current_.in_use() > peak_.in_use()) peak_ = current_;
}

MemoryUse MemoryLedger::Current() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return current_;
}

MemoryUse MemoryLedger::Peak() const {
  std::lock_guard<std::mutex> lock(mutex_);
  MemoryUse peak = peak_;
  peak.bytes[static_cast<int>(MemoryCategory::UNUSED)] = peak_total_ - peak_.in_use();
  return peak;
}

void MemoryLedger::ResetPeak() {
  std::lock_guard<std::mutex> lock(mutex_);
  peak_ = current_;
  peak_total_ = current_.total();
}

Buffer::~Buffer() {
  allocator_->ledger_.Discharge(category_, bytes_);
  allocator_->DoFree(data_, bytes_);
}

std::shared_ptr<Buffer> Allocator::Allocate(int64_t bytes, MemoryCategory category) {
  ENCKE_CHECK(bytes >= 0, bytes);
  const int64_t limit = limit_;
  const auto too_much = [&] { return limit > 0 && ledger_.Current().total() + bytes > limit; };
  if (too_much()) DoTrim();
  const int64_t held = ledger_.Current().total();
  if (too_much()) {
    throw MemoryLimitError(ErrorKind::MEMORY,
                           StrCat("the memory limit of ", FormatBytes(limit), " does not allow ",
                                  FormatBytes(bytes), " more; ", FormatBytes(held), " are held"),
                           device().ToString(), "raise --memory-limit or take a smaller batch");
  }
  void* data = DoAllocate(bytes);
  if (data == nullptr) {
    throw Error(ErrorKind::MEMORY,
                StrCat("out of memory: ", FormatBytes(bytes), " asked for beside ",
                       FormatBytes(held), " that are held"),
                device().ToString(), "take a smaller batch");
  }
  ledger_.Charge(category, bytes);
  return std::make_shared<Buffer>(this, data, bytes, category);
}

std::unique_ptr<Allocator> NewCpuAllocator() { return std::make_unique<CpuAllocator>(); }

int64_t ResidentBytes() {
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr) return 0;
  long long size = 0, resident = 0;
  const int fields = std::fscanf(file, "%lld %lld", &size, &resident);
  std::fclose(file);
  return fields == 2 ? resident * sysconf(_SC_PAGESIZE) : 0;
}

int64_t PeakResidentBytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;
}

}  // namespace encke
