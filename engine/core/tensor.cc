#include "engine/core/tensor.h"

#include <utility>

namespace encke {

Tensor::Tensor(std::shared_ptr<Buffer> buffer, int64_t byte_offset, const Shape& shape, DType dtype)
    : buffer_(std::move(buffer)), shape_(shape), dtype_(dtype) {
  ENCKE_CHECK(byte_offset >= 0 && byte_offset + bytes() <= buffer_->bytes(), byte_offset, " + ",
              bytes(), " > ", buffer_->bytes());
  raw_ = static_cast<char*>(buffer_->data()) + byte_offset;
}

Tensor Tensor::Empty(Allocator& allocator, const Shape& shape, DType dtype,
                     MemoryCategory category) {
  return Tensor(allocator.Allocate(shape.elements() * SizeOf(dtype), category), 0, shape, dtype);
}

Tensor Tensor::Slice(int64_t first, int64_t count) const {
  ENCKE_CHECK(first >= 0 && count >= 0 && first + count <= shape_.n, first, " + ", count, " of ",
              shape_.n);
  Tensor slice = *this;
  slice.shape_.n = count;
  slice.raw_ = static_cast<char*>(raw_) + first * shape_.sample() * SizeOf(dtype_);
  return slice;
}

Tensor Tensor::Reshape(const Shape& shape) const {
  ENCKE_CHECK(shape.elements() == elements(), shape.ToString(), " from ", shape_.ToString());
  Tensor view = *this;
  view.shape_ = shape;
  return view;
}

}  // namespace encke
