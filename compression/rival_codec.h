// What the rivals without an error bound have in common: they work on floats, and where a ReLU's
// mask must survive it is kept beside them, one bit an element, as their authors do.
#pragma once

#include <vector>

#include "compression/codec.h"
#include "compression/stream.h"

namespace encke {

class RivalCodec : public Codec {
 public:
  bool bounded() const override { return false; }
  int64_t MaxStreamSize(const Shape& chunk, DType dtype) const override;
  int64_t EncodeStream(const void* data, DType dtype, const Shape& chunk, const ValueCoding& coding,
                       uint8_t* out, EncodeStatistics* statistics) const override;
  void DecodeStream(const uint8_t* stream, int64_t size, DType dtype, const Shape& chunk,
                    const ValueCoding& coding, void* data) const override;

 protected:
  explicit RivalCodec(StreamKind kind) : kind_(kind) {}

  // All values are finite. Appends to `out`.
  virtual void EncodeValues(const std::vector<float>& values, const Shape& chunk,
                            const ValueCoding& coding, std::vector<uint8_t>* out) const = 0;
  // Error(CORRUPTION) for bytes that EncodeValues did not write. `values` has its size.
  virtual void DecodeValues(const uint8_t* stream, int64_t size, const Shape& chunk,
                            const ValueCoding& coding, std::vector<float>* values) const = 0;

 private:
  StreamKind kind_;
};

// As floats; what is not finite becomes 0.
std::vector<float> FiniteValues(const void* data, DType dtype, int64_t elements);

}  // namespace encke
