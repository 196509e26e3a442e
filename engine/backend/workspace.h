// Scratch memory of a backend's primitives.
#pragma once

#include <cstdint>
#include <memory>

#include "engine/core/memory.h"

namespace encke {

// Memory that is lent for the time being or, where that is too small, one buffer of its own,
// charged as WORKSPACE, that grows when asked and never shrinks. Its contents live as long as one
// primitive of the backend.
class Workspace {
 public:
  explicit Workspace(Allocator* allocator) : allocator_(allocator) {}

  // The lender's memory, until memory is lent again; nullptr: none.
  void Lend(void* memory, int64_t bytes);
  // At least `bytes`, until something is reserved again. The former contents are lost.
  void Reserve(int64_t bytes);

  // Of what was reserved.
  int64_t bytes() const { return bytes_; }
  template <typename T = void>
  T* At(int64_t offset) const {
    return reinterpret_cast<T*>(memory_ + offset);
  }

 private:
  Allocator* allocator_;
  std::shared_ptr<Buffer> own_;
  char* lent_ = nullptr;
  int64_t lent_bytes_ = 0;
  char* memory_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace encke
