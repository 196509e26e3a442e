// Every byte that Encke holds is charged to a category of one ledger, so that the peak it reports
// is the peak that the machine sees.
//
//   Allocator --owns--> Buffer --charges--> MemoryLedger
//
// Short-lived tensors of an iteration live at planned offsets of one big buffer (an arena, see
// engine/graph/plan.h). The arena is charged as UNUSED when it is allocated; the executor moves
// bytes from UNUSED to SAVED, TRANSIENT or WORKSPACE while a tensor in it is alive. So the total is
// always what is physically held, and UNUSED is the cost of placement.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

#include "engine/core/device.h"
#include "engine/core/error.h"

namespace encke {

enum class MemoryCategory {
  PARAMETER,
  GRADIENT,
  OPTIMIZER,
  SAVED,      // what backward will read: raw or compressed
  TRANSIENT,  // activations and their gradients while an operation works on them
  WORKSPACE,  // scratch of library calls
  DATA,       // batches, prefetched ones included
  UNUSED,     // part of an arena that no tensor occupies at the moment
};
inline constexpr int kMemoryCategories = 8;
const char* NameOf(MemoryCategory category);  // "parameter", ...

struct MemoryUse {
  std::array<int64_t, kMemoryCategories> bytes{};  // indexed by MemoryCategory
  int64_t total() const;                           // physically held
  int64_t in_use() const;                          // total without UNUSED
  int64_t of(MemoryCategory category) const { return bytes[static_cast<int>(category)]; }
};

// Thread-safe.
class MemoryLedger {
 public:
  void Charge(MemoryCategory category, int64_t bytes);
  void Discharge(MemoryCategory category, int64_t bytes);
  // Books `bytes` from one category to another; the total does not change.
  void Move(MemoryCategory from, MemoryCategory to, int64_t bytes);

  MemoryUse Current() const;
  // The use at the moment when the most bytes were in use; its UNUSED is set so that total() is the
  // highest total held.
  MemoryUse Peak() const;
  void ResetPeak();

 private:
  void Note();  // REQUIRES: mutex_ held

  mutable std::mutex mutex_;
  MemoryUse current_;
  MemoryUse peak_;
  int64_t peak_total_ = 0;
};

// The allocator's own limit does not allow what is asked for; kind MEMORY.
class MemoryLimitError : public Error {
 public:
  using Error::Error;
};

class Allocator;

// A piece of device memory, 64-byte aligned; freed and discharged on destruction. The allocator
// must outlive it.
class Buffer {
 public:
  Buffer(Allocator* allocator, void* data, int64_t bytes, MemoryCategory category)
      : allocator_(allocator), data_(data), bytes_(bytes), category_(category) {}
  ~Buffer();
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  void* data() const { return data_; }
  int64_t bytes() const { return bytes_; }
  MemoryCategory category() const { return category_; }

 private:
  Allocator* allocator_;
  void* data_;
  int64_t bytes_;
  MemoryCategory category_;
};

// Thread-safe. Allocate throws Error(MEMORY) when the device has no more, and MemoryLimitError when
// `limit` would be passed.
class Allocator {
 public:
  virtual ~Allocator() = default;

  // Contents are undefined. Zero bytes are legal.
  std::shared_ptr<Buffer> Allocate(int64_t bytes, MemoryCategory category);

  virtual Device device() const = 0;
  // Bytes that the device has, what others hold included; 0 = not known.
  virtual int64_t capacity() const { return 0; }
  MemoryLedger& ledger() { return ledger_; }

  // The most bytes the ledger's total may reach; 0 means no limit.
  void set_limit(int64_t bytes) { limit_ = bytes; }
  int64_t limit() const { return limit_; }

 protected:
  virtual void* DoAllocate(int64_t bytes) = 0;  // nullptr when there is no more
  virtual void DoFree(void* data, int64_t bytes) = 0;
  // Gives back what is kept for later requests, if anything is.
  virtual void DoTrim() {}

 private:
  friend class Buffer;
  MemoryLedger ledger_;
  std::atomic<int64_t> limit_{0};
};

// Pages straight from the kernel for what is large (so that freeing really gives memory back),
// malloc for the rest.
std::unique_ptr<Allocator> NewCpuAllocator();

// The least multiple of `multiple` that is not below `value`. REQUIRES: value >= 0, multiple > 0.
constexpr int64_t RoundUp(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// Resident set of this process in bytes, now and at its highest, as the kernel counts it.
int64_t ResidentBytes();
int64_t PeakResidentBytes();

}  // namespace encke
