// Extent of a tensor. Logical order is N,C,H,W as in the field's papers; physical order is N,H,W,C
// everywhere.
#pragma once

#include <cstdint>
#include <string>

namespace encke {

// Activations: n samples of h x w pixels with c channels. Filters use the same four: n = output
// channels, h x w = kernel, c = input channels per group (physical K,R,S,C). Vectors are {1, 1, 1,
// c}.
struct Shape {
  int64_t n = 1;
  int64_t h = 1;
  int64_t w = 1;
  int64_t c = 1;

  constexpr int64_t elements() const { return n * h * w * c; }
  constexpr int64_t sample() const { return h * w * c; }  // elements of one sample

  Shape WithBatch(int64_t batch) const { return {batch, h, w, c}; }
  std::string ToString() const;  // "NxCxHxW", or "NxC" where h = w = 1

  static Shape Vector(int64_t c) { return {1, 1, 1, c}; }
};

inline bool operator==(const Shape& a, const Shape& b) {
  return a.n == b.n && a.h == b.h && a.w == b.w && a.c == b.c;
}
inline bool operator!=(const Shape& a, const Shape& b) { return !(a == b); }

}  // namespace encke
