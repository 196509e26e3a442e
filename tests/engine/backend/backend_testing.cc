#include "tests/engine/backend/backend_testing.h"

#include <algorithm>
#include <cstring>

#include "engine/backend/registry.h"
#include "engine/core/error.h"
#include "engine/core/rng.h"

namespace encke {
namespace {

constexpr int64_t kGuard = 64;        // bytes in front and behind
constexpr uint8_t kGuardByte = 0xFF;  // floats made of it are NaN: reading them would show too

template <typename T>
T Element(const uint8_t* bytes, int64_t i) {
  T value;
  std::memcpy(&value, bytes + i * sizeof(T), sizeof(T));
  return value;
}

double Get(DType dtype, const uint8_t* bytes, int64_t i) {
  switch (dtype) {
    case DType::F32:
      return Element<float>(bytes, i);
    case DType::BF16:
      return static_cast<float>(Element<bfloat16>(bytes, i));
    case DType::U8:
      return bytes[i];
    case DType::I32:
      return Element<int32_t>(bytes, i);
  }
  return 0.0;
}

template <typename T>
void SetElement(T value, uint8_t* bytes, int64_t i) {
  std::memcpy(bytes + i * sizeof(T), &value, sizeof(T));
}

void Set(DType dtype, double value, uint8_t* bytes, int64_t i) {
  switch (dtype) {
    case DType::F32:
      return SetElement(static_cast<float>(value), bytes, i);
    case DType::BF16:
      return SetElement(bfloat16(static_cast<float>(value)), bytes, i);
    case DType::U8:
      return SetElement(static_cast<uint8_t>(value), bytes, i);
    case DType::I32:
      return SetElement(static_cast<int32_t>(value), bytes, i);
  }
}

}  // namespace

std::vector<BackendCase> CpuCases() { return {{Device(), DType::F32}, {Device(), DType::BF16}}; }

std::vector<BackendCase> BackendCases() {
  const Device gpu = {Device::Type::CUDA, 0};
  std::vector<BackendCase> cases = CpuCases();
  if (HasCuda()) cases.insert(cases.end(), {{gpu, DType::F32}, {gpu, DType::BF16}});
  return cases;
}

void BackendTest::SetUp() {
  BackendOptions options;
  options.tf32 = false;
  try {
    backend_ = NewBackend(GetParam().device, options);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::DEVICE) throw;
    GTEST_SKIP() << error.what();
  }
  if (!backend_->Supports(dtype())) GTEST_SKIP() << backend_->name() << " has no bfloat16";
}

void BackendTest::TearDown() {
  const auto intact = [](uint8_t b) { return b == kGuardByte; };
  for (const Tensor& whole : wholes_) {
    const std::vector<uint8_t> bytes = BytesOf(whole);
    EXPECT_TRUE(std::all_of(bytes.begin(), bytes.begin() + kGuard, intact))
        << "written in front of a tensor";
    EXPECT_TRUE(std::all_of(bytes.end() - kGuard, bytes.end(), intact))
        << "written behind a tensor";
  }
  wholes_.clear();
}

double BackendTest::ProductTolerance() const {
  if (on_cpu()) return 2e-6;  // fp32 sums of up to a few thousand products
  return dtype() == DType::F32 ? 1e-5 : 0x1p-7;
}

std::vector<uint8_t> BackendTest::BytesOf(const Tensor& tensor) const {
  std::vector<uint8_t> bytes(tensor.bytes());
  backend_->CopyToHost(tensor, bytes.data());
  return bytes;
}

Tensor BackendTest::Make(const Shape& shape, DType dtype) {
  return Make(shape, dtype, Values(shape.elements(), dtype == DType::U8 ? 201 : 1e6));
}

Tensor BackendTest::Make(const Shape& shape, DType dtype, const Values& values) {
  EXPECT_EQ(shape.elements(), static_cast<int64_t>(values.size()));
  const int64_t bytes = shape.elements() * SizeOf(dtype) + 2 * kGuard;
  const auto buffer = backend_->allocator().Allocate(bytes, MemoryCategory::TRANSIENT);
  std::vector<uint8_t> image(bytes, kGuardByte);
  for (int64_t i = 0; i < shape.elements(); ++i) Set(dtype, values[i], image.data() + kGuard, i);
  wholes_.emplace_back(buffer, 0, Shape::Vector(bytes), DType::U8);
  backend_->CopyFromHost(image.data(), wholes_.back());
  return Tensor(buffer, kGuard, shape, dtype);
}

Values BackendTest::Random(int64_t n) {
  Rng rng(7, RngStream::TEST, draws_++);
  Values values(n);
  for (double& v : values)
    v = static_cast<float>(bfloat16(static_cast<float>(2.0 * rng.Uniform() - 1.0)));
  return values;
}

std::string NameOfParam(const ::testing::TestParamInfo<BackendCase>& info) {
  const char* type = info.param.dtype == DType::F32 ? "fp32" : "bf16";
  return info.param.device.is_cpu() ? type : StrCat("cuda_", type);
}

Values BackendTest::Read(const Tensor& tensor) const {
  const std::vector<uint8_t> bytes = BytesOf(tensor);
  Values values(tensor.elements());
  for (int64_t i = 0; i < tensor.elements(); ++i) values[i] = Get(tensor.dtype(), bytes.data(), i);
  return values;
}

void BackendTest::ExpectClose(const Tensor& actual, const Values& expected,
                              double tolerance) const {
  ASSERT_EQ(actual.elements(), static_cast<int64_t>(expected.size()));
  double largest = 0.0;
  for (double v : expected) largest = std::max(largest, std::fabs(v));
  const double rounding = actual.dtype() == DType::BF16 ? 0x1p-8 : 0.0;
  const Values values = Read(actual);
  for (int64_t i = 0; i < actual.elements(); ++i) {
    const double allowed = tolerance * largest + rounding * std::fabs(expected[i]);
    ASSERT_LE(std::fabs(values[i] - expected[i]), allowed)
        << "element " << i << ": " << values[i] << " for " << expected[i];
  }
}

void BackendTest::ExpectIdentical(const Tensor& a, const Tensor& b) const {
  EXPECT_EQ(BytesOf(a), BytesOf(b));
}

}  // namespace encke
