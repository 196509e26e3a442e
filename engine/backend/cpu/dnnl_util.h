// What the oneDNN primitives of this backend share: errors, how workspaces are divided, the cache
// of primitives.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/core/memory.h"
#include "engine/core/tensor.h"

namespace encke::cpu {

[[noreturn]] void ThrowDnnlError(const std::string& what, const dnnl::error& error);

// Runs f(), which calls oneDNN; a failure becomes Error(DEVICE) that says `what` failed.
template <typename F>
auto CallDnnl(const std::string& what, const F& f) -> decltype(f()) {
  try {
    return f();
  } catch (const dnnl::error& error) {
    ThrowDnnlError(what, error);
  }
}

dnnl::memory::data_type DnnlType(DType dtype);

// "2.6.3, avx512_core_bf16"
std::string DnnlDescription();
// Whether the machine multiplies bfloat16 in hardware; oneDNN emulates it slowly elsewhere.
bool DnnlHasFastBf16();

// Places pieces one behind the other in the workspace, each aligned to a cache line.
class WorkspaceLayout {
 public:
  // Returns the offset of a piece of `bytes`.
  int64_t Add(int64_t bytes) {
    const int64_t offset = total_;
    total_ += (bytes + 63) / 64 * 64;
    return offset;
  }
  int64_t total() const { return total_; }

 private:
  int64_t total_ = 0;
};

// What a cached primitive was made for: kind, options, shapes, dtype, threads as plain numbers.
using PrimitiveKey = std::vector<int64_t>;

struct PrimitiveKeyHash {
  size_t operator()(const PrimitiveKey& key) const;
};

template <typename Value>
using PrimitiveCache = std::unordered_map<PrimitiveKey, std::unique_ptr<Value>, PrimitiveKeyHash>;

void AppendToKey(const Shape& shape, PrimitiveKey* key);

// Plain memory of the caller as oneDNN sees it.
dnnl::memory Wrap(const dnnl::memory::desc& desc, const dnnl::engine& engine, const void* data);

}  // namespace encke::cpu
