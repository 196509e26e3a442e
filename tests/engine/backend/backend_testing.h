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

// Each test runs once for each type of activations; BF16 is skipped where the machine has none.
class BackendTest : public ::testing::TestWithParam<DType> {
 protected:
  void SetUp() override;
  // Checks the guards of every tensor made.
  void TearDown() override;

  DType dtype() const { return GetParam(); }

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

  std::unique_ptr<Backend> backend_ = NewBackend(Device());

 private:
  std::vector<std::shared_ptr<Buffer>> buffers_;
  uint64_t draws_ = 0;
};

std::string NameOfParam(const ::testing::TestParamInfo<DType>& info);

Values Read(const Tensor& tensor);

// Each element within `tolerance` of the largest expected magnitude; BF16 results may also be wrong
// by one rounding (2^-8 of the element).
void ExpectClose(const Tensor& actual, const Values& expected, double tolerance);

// The same bytes.
void ExpectIdentical(const Tensor& a, const Tensor& b);

}  // namespace encke
