// One matrix product c = a b (+ bias, + c) of oneDNN in fp32, made once and kept. Either factor may
// be given transposed: the memory of a^T, row by row, serves as a.
#pragma once

#include <cstdint>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>

#include "engine/backend/cpu/dnnl_util.h"

namespace encke::cpu {

// c [rows, columns] = a [rows, inner] b [inner, columns]
struct MatmulCall {
  int64_t rows = 0, inner = 0, columns = 0;
  bool transposed_a = false, transposed_b = false;
  bool bias = false;  // a row of `columns`, added to each row of c
  bool accumulate = false;

  PrimitiveKey Key() const;
};

struct MatmulBuffers {
  const float* a;
  const float* b;
  const float* bias;
  float* c;
};

class MatmulPlan {
 public:
  MatmulPlan(const MatmulCall& call, const dnnl::engine& engine);

  int64_t scratch_bytes() const;
  // oneDNN's name of the kernel chosen.
  std::string implementation() const { return desc_.impl_info_str(); }
  void Run(dnnl::stream& stream, const MatmulBuffers& buffers, void* scratch);

 private:
  dnnl::engine engine_;
  dnnl::matmul::primitive_desc desc_;
  dnnl::matmul primitive_;  // compiled at the first Run()
  bool bias_;
};

}  // namespace encke::cpu
