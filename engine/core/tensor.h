// A typed view of a piece of device memory. Copying a Tensor shares the memory; there is no
// autograd inside.
#pragma once

#include <memory>

#include "engine/core/dtype.h"
#include "engine/core/error.h"
#include "engine/core/memory.h"
#include "engine/core/shape.h"

namespace encke {

class Tensor {
 public:
  // The empty tensor: defined() is false.
  Tensor() = default;
  // A view of `buffer` from `byte_offset` on; shares ownership. REQUIRES: it fits.
  Tensor(std::shared_ptr<Buffer> buffer, int64_t byte_offset, const Shape& shape, DType dtype);

  // New memory, contents undefined.
  static Tensor Empty(Allocator& allocator, const Shape& shape, DType dtype,
                      MemoryCategory category);

  bool defined() const { return buffer_ != nullptr; }
  const Shape& shape() const { return shape_; }
  DType dtype() const { return dtype_; }
  int64_t elements() const { return shape_.elements(); }
  int64_t bytes() const { return elements() * SizeOf(dtype_); }

  void* raw() const { return raw_; }
  // REQUIRES: T is the dtype.
  template <typename T>
  T* data() const {
    ENCKE_CHECK(DTypeOf<T>::value == dtype_, NameOf(dtype_));
    return static_cast<T*>(raw_);
  }

  // Samples [first, first + count), sharing the memory.
  Tensor Slice(int64_t first, int64_t count) const;
  // The same elements under another shape. REQUIRES: equal number of elements.
  Tensor Reshape(const Shape& shape) const;

 private:
  std::shared_ptr<Buffer> buffer_;
  void* raw_ = nullptr;
  Shape shape_;
  DType dtype_ = DType::F32;
};

}  // namespace encke
