// Tensors for backend tests: filled from doubles, read back as doubles, with guard bytes around
// them that are checked at the end.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "engine/backend/backend.h"
#include "tests/reference/reference.h"

namespace encke {

using reference::Values;

struct BackendCase {
  Device device;
  DType dtype;  // of activations
};

// Those of this build: the CPU's and, with CUDA, a GPU's.
std::vector<BackendCase> BackendCases();
std::vector<BackendCase> CpuCases();

// Each test runs once for each device and type of activations, and is skipped, with the reason,
// where the machine has none. On a GPU fp32 is fp32, not tf32.
class BackendTest : public ::testing::TestWithParam<BackendCase> {
 protected:
  void SetUp() override;
  // Checks the guards of every tensor made.
  void TearDown() override;

  DType dtype() const { return GetParam().dtype; }
  bool on_cpu() const { return GetParam().device.is_cpu(); }
  // Products by cuDNN and cuBLAS add up in other orders than loops do and, in BF16, round a result
  // before a bias is added and a filter's gradient on its way to fp32.
  double ProductTolerance() const;

  // Filled with values that would be noticed.
  Tensor Make(const Shape& shape, DType dtype);
  Tensor Make(const Shape& shape, DType dtype, const Values& values);
  Tensor MakeActivation(const Shape& shape, const Values& values) {
    return Make(shape, dtype(), values);
  }
  Tensor MakeVector(const Values& values) {
    return Make(Shape::Vector(static_cast<int64_t>(values.size())), DType::F32, values);
  }

  // Uniform in [-1, 1), rounded to bfloat16 so that both types hold it exactly. Differs from call
  // to call, not from run to run.
  Values Random(int64_t n);

  Values Read(const Tensor& tensor) const;
  // Each element within `tolerance` of the largest expected magnitude; BF16 results may also be
  // wrong by one rounding (2^-8 of the element).
  void ExpectClose(const Tensor& actual, const Values& expected, double tolerance) const;
  // The same bytes.
  void ExpectIdentical(const Tensor& a, const Tensor& b) const;

  std::unique_ptr<Backend> backend_;

 private:
  std::vector<uint8_t> BytesOf(const Tensor& tensor) const;

  std::vector<Tensor> wholes_;  // with their guards
  uint64_t draws_ = 0;
};

std::string NameOfParam(const ::testing::TestParamInfo<BackendCase>& info);

}  // namespace encke
