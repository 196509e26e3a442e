// Scratch memory of a backend's primitives.
#pragma once

#include <cstdint>
#include <memory>

#include "engine/core/memory.h"

namespace encke::cuda {

// One buffer, charged as WORKSPACE, that grows when asked and never shrinks. Its contents live as
// long as one primitive of the backend.
class Workspace {
 public:
  explicit Workspace(Allocator* allocator) : allocator_(allocator) {}
  void Reserve(int64_t bytes);
  int64_t bytes() const { return buffer_ == nullptr ? 0 : buffer_->bytes(); }
  template <typename T = void>
  T* At(int64_t offset) const {
    return reinterpret_cast<T*>(static_cast<char*>(buffer_->data()) + offset);
  }

 private:
  Allocator* allocator_;
  std::shared_ptr<Buffer> buffer_;
};

}  // namespace encke::cuda
