// Convolutions that the tests of the backend run through.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/core/error.h"

namespace encke {

struct ConvCase {
  const char* name;
  Shape x;
  int64_t k;
  ConvOptions o;
};

inline ConvOptions Options(int64_t kernel, int64_t stride, int64_t pad, int64_t dilation = 1,
                           int64_t groups = 1) {
  return {kernel, kernel, stride, stride, dilation, dilation, pad, pad, pad, pad, groups};
}

inline std::vector<ConvCase> Cases() {
  std::vector<ConvCase> cases = {
      {"stem 7x7 s2", {2, 23, 23, 3}, 64, Options(7, 2, 3)},
      {"grey image", {3, 13, 11, 1}, 16, Options(3, 1, 1)},
      {"lenet", {2, 12, 12, 1}, 6, Options(5, 1, 2)},
      {"s2", {2, 14, 14, 64}, 128, Options(3, 2, 1)},
      {"1x1", {2, 7, 7, 64}, 33, Options(1, 1, 0)},
      {"1x1 s2", {2, 9, 9, 64}, 64, Options(1, 2, 0)},
      {"groups", {2, 9, 9, 32}, 48, Options(5, 1, 2, 1, 2)},
      {"groups of 4 channels", {2, 7, 7, 32}, 32, Options(3, 1, 1, 1, 8)},
      {"depthwise", {2, 9, 9, 33}, 33, Options(3, 1, 1, 1, 33)},
      {"dilated", {2, 11, 11, 16}, 17, Options(3, 1, 2, 2)},
      {"1x7", {2, 9, 9, 33}, 40, {1, 7, 1, 1, 1, 1, 0, 0, 3, 3, 1}},
      {"far pads only", {2, 8, 8, 16}, 16, {3, 3, 2, 2, 1, 1, 0, 1, 0, 1, 1}},
      {"pixels left over", {1, 8, 10, 7}, 5, Options(3, 3, 0)},
      {"one pixel", {1, 1, 1, 1}, 1, Options(1, 1, 0)},
      {"kernel larger than the input", {2, 2, 2, 16}, 16, Options(3, 1, 1)},
      {"no pads", {2, 9, 8, 16}, 17, Options(3, 1, 0)},
      // Chosen to run as matrix products, and as forward convolutions of the gradient:
      {"large filter", {2, 3, 4, 512}, 256, Options(3, 1, 1)},
      {"strided, wide", {2, 9, 8, 128}, 128, Options(3, 2, 1)},
      {"1x1, wide", {2, 3, 4, 1024}, 512, Options(1, 1, 0)},
      {"1x1 s2, wide", {2, 5, 6, 512}, 1024, Options(1, 2, 0)},
      {"many pixels", {2, 33, 35, 5}, 7, Options(3, 1, 1)},
  };
  // oneDNN 2.6.3 has a kernel for AVX2 that gets the filter's gradient wrong here.
  for (int64_t c : {1, 2, 3, 5, 8}) cases.push_back({"1x1 s2", {2, 8, 8, c}, 8, Options(1, 2, 0)});
  for (int64_t c : {1, 3, 7, 16, 17, 64}) {
    for (int64_t k : {3, 16, 33}) {
      cases.push_back({"3x3", {2, 5, 6, c}, k, Options(3, 1, 1)});
      cases.push_back({"3x3 s2", {2, 5, 6, c}, k, Options(3, 2, 1)});
      cases.push_back({"1x1", {2, 3, 5, c}, k, Options(1, 1, 0)});
      cases.push_back({"1x1 s2", {2, 5, 6, c}, k, Options(1, 2, 0)});
    }
  }
  return cases;
}

inline std::string Describe(const ConvCase& c) {
  return StrCat(c.name, ": ", c.x.ToString(), " to ", c.k, " channels");
}

}  // namespace encke
