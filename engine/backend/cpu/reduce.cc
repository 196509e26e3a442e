// Reductions to one number. Each thread sums its fixed range in double and the partial sums are
// added in order, so that the result depends on the thread count alone.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "engine/backend/cpu/cpu_backend.h"
#include "engine/backend/cpu/simd.h"

namespace encke::cpu {
namespace {

constexpr int64_t kLanes = 32;  // independent sums, so that additions need not wait for each other

// Sum of f(x[i]), begin <= i < end; f takes and returns double.
template <typename T, typename F>
ENCKE_INLINE inline double SumRange(const T* x, int64_t begin, int64_t end, const F& f) {
  double lanes[kLanes] = {};
  for (; begin + kLanes <= end; begin += kLanes) {
#pragma omp simd
    for (int64_t j = 0; j < kLanes; ++j) lanes[j] += f(static_cast<double>(Widen(x[begin + j])));
  }
  double sum = std::accumulate(lanes, lanes + kLanes, 0.0);
  for (; begin < end; ++begin) sum += f(static_cast<double>(Widen(x[begin])));
  return sum;
}

template <typename F>
double Sum(const Tensor& x, const F& f) {
  std::vector<double> partial(Threads(), 0.0);
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    const T* data = Elements<T>(x);
    ParallelForIndexed(x.elements(), kElementGrain, [&](int range, int64_t begin, int64_t end) {
      Simd([&]() ENCKE_INLINE { partial[range] = SumRange(data, begin, end, f); });
    });
  });
  return std::accumulate(partial.begin(), partial.end(), 0.0);
}

// Whether some x[i], begin <= i < end, is infinite or NaN.
template <typename T>
ENCKE_INLINE inline bool AnyNotFinite(const T* x, int64_t begin, int64_t end) {
  constexpr uint32_t kExponent = 0x7f800000u;
  uint32_t bad = 0;
#pragma omp simd reduction(| : bad)
  for (int64_t i = begin; i < end; ++i) {
    const float v = Widen(x[i]);
    uint32_t bits;
    std::memcpy(&bits, &v, sizeof(bits));
    bad |= (bits & kExponent) == kExponent ? 1u : 0u;
  }
  return bad != 0;
}

bool IsFinite(const Tensor& x) {
  std::vector<char> found(Threads(), 0);
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    const T* data = Elements<T>(x);
    ParallelForIndexed(x.elements(), kElementGrain, [&](int range, int64_t begin, int64_t end) {
      Simd([&]() ENCKE_INLINE { found[range] = AnyNotFinite(data, begin, end); });
    });
  });
  return std::find(found.begin(), found.end(), 1) == found.end();
}

class FinishedSum : public HostCopy {
 public:
  explicit FinishedSum(double sum) : sum_(sum) {}
  const void* Wait() override { return &sum_; }

 private:
  double sum_;
};

}  // namespace

double CpuBackend::SumOfSquares(const Tensor& x) {
  return Sum(x, [](double v) ENCKE_INLINE { return v * v; });
}

double CpuBackend::SumOfMagnitudes(const Tensor& x) {
  return Sum(x, [](double v) ENCKE_INLINE { return std::fabs(v); });
}

std::unique_ptr<HostCopy> CpuBackend::StartSumOfSquares(const Tensor& x) {
  return std::make_unique<FinishedSum>(CpuBackend::SumOfSquares(x));
}

std::unique_ptr<HostCopy> CpuBackend::StartSumOfMagnitudes(const Tensor& x) {
  return std::make_unique<FinishedSum>(CpuBackend::SumOfMagnitudes(x));
}

bool CpuBackend::AllFinite(const std::vector<Tensor>& tensors) {
  return std::all_of(tensors.begin(), tensors.end(), IsFinite);
}

}  // namespace encke::cpu
