#include "tests/engine/backend/backend_testing.h"

#include <algorithm>
#include <cstring>

#include "engine/core/rng.h"

namespace encke {
namespace {

constexpr int64_t kGuard = 64;        // bytes in front and behind
constexpr uint8_t kGuardByte = 0xFF;  // floats made of it are NaN: reading them would show too

double Get(const Tensor& tensor, int64_t i) {
  switch (tensor.dtype()) {
    case DType::F32:
      return tensor.data<float>()[i];
    case DType::BF16:
      return static_cast<float>(tensor.data<bfloat16>()[i]);
    case DType::U8:
      return tensor.data<uint8_t>()[i];
    case DType::I32:
      return tensor.data<int32_t>()[i];
  }
  return 0.0;
}

void Set(const Tensor& tensor, int64_t i, double value) {
  switch (tensor.dtype()) {
    case DType::F32:
      tensor.data<float>()[i] = static_cast<float>(value);
      return;
    case DType::BF16:
      tensor.data<bfloat16>()[i] = bfloat16(static_cast<float>(value));
      return;
    case DType::U8:
      tensor.data<uint8_t>()[i] = static_cast<uint8_t>(value);
      return;
    case DType::I32:
      tensor.data<int32_t>()[i] = static_cast<int32_t>(value);
      return;
  }
}

}  // namespace

void BackendTest::SetUp() {
  if (!backend_->Supports(dtype())) GTEST_SKIP() << backend_->name() << " has no bfloat16";
}

void BackendTest::TearDown() {
  for (const auto& buffer : buffers_) {
    const uint8_t* bytes = static_cast<const uint8_t*>(buffer->data());
    const auto intact = [](uint8_t b) { return b == kGuardByte; };
    EXPECT_TRUE(std::all_of(bytes, bytes + kGuard, intact)) << "written in front of a tensor";
    EXPECT_TRUE(std::all_of(bytes + buffer->bytes() - kGuard, bytes + buffer->bytes(), intact))
        << "written behind a tensor";
  }
}

Tensor BackendTest::Make(const Shape& shape, DType dtype) {
  const int64_t bytes = shape.elements() * SizeOf(dtype) + 2 * kGuard;
  auto buffer = backend_->allocator().Allocate(bytes, MemoryCategory::TRANSIENT);
  std::memset(buffer->data(), kGuardByte, bytes);
  buffers_.push_back(buffer);
  const Tensor tensor(buffer, kGuard, shape, dtype);
  for (int64_t i = 0; i < shape.elements(); ++i) Set(tensor, i, dtype == DType::U8 ? 201 : 1e6);
  return tensor;
}

Tensor BackendTest::Make(const Shape& shape, DType dtype, const Values& values) {
  const Tensor tensor = Make(shape, dtype);
  EXPECT_EQ(shape.elements(), static_cast<int64_t>(values.size()));
  for (int64_t i = 0; i < shape.elements(); ++i) Set(tensor, i, values[i]);
  return tensor;
}

Values BackendTest::Random(int64_t n) {
  Rng rng(7, RngStream::TEST, draws_++);
  Values values(n);
  for (double& v : values)
    v = static_cast<float>(bfloat16(static_cast<float>(2.0 * rng.Uniform() - 1.0)));
  return values;
}

std::string NameOfParam(const ::testing::TestParamInfo<DType>& info) {
  return info.param == DType::F32 ? "fp32" : "bf16";
}

Values Read(const Tensor& tensor) {
  Values values(tensor.elements());
  for (int64_t i = 0; i < tensor.elements(); ++i) values[i] = Get(tensor, i);
  return values;
}

void ExpectClose(const Tensor& actual, const Values& expected, double tolerance) {
  ASSERT_EQ(actual.elements(), static_cast<int64_t>(expected.size()));
  double largest = 0.0;
  for (double v : expected) largest = std::max(largest, std::fabs(v));
  const double rounding = actual.dtype() == DType::BF16 ? 0x1p-8 : 0.0;
  for (int64_t i = 0; i < actual.elements(); ++i) {
    const double allowed = tolerance * largest + rounding * std::fabs(expected[i]);
    ASSERT_LE(std::fabs(Get(actual, i) - expected[i]), allowed)
        << "element " << i << ": " << Get(actual, i) << " for " << expected[i];
  }
}

void ExpectIdentical(const Tensor& a, const Tensor& b) {
  ASSERT_EQ(a.bytes(), b.bytes());
  EXPECT_EQ(std::memcmp(a.raw(), b.raw(), a.bytes()), 0);
}

}  // namespace encke
