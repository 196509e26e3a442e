// Reductions to one number. Each thread sums its fixed range in double and the partial sums are
// added in order, so that the result depends on the thread count alone.
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "engine/backend/cpu/cpu_backend.h"
#include "engine/backend/cpu/simd.h"

namespace encke::cpu {
namespace {

// Sum of f(x[i]) over the tensor; f takes and returns double.
template <typename F>
double Sum(const Tensor& x, const F& f) {
  std::vector<double> partial(Threads(), 0.0);
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    const T* data = Elements<T>(x);
    ParallelForIndexed(x.elements(), kElementGrain, [&](int range, int64_t begin, int64_t end) {
      Simd([&]() ENCKE_INLINE {
        double sum = 0.0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = begin; i < end; ++i) sum += f(static_cast<double>(Widen(data[i])));
        partial[range] = sum;
      });
    });
  });
  return std::accumulate(partial.begin(), partial.end(), 0.0);
}

}  // namespace

double CpuBackend::SumOfSquares(const Tensor& x) {
  return Sum(x, [](double v) ENCKE_INLINE { return v * v; });
}

double CpuBackend::SumOfMagnitudes(const Tensor& x) {
  return Sum(x, [](double v) ENCKE_INLINE { return std::fabs(v); });
}

bool CpuBackend::AllFinite(const Tensor& x) {
  std::vector<uint32_t> found(Threads(), 0);
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    const T* data = Elements<T>(x);
    ParallelForIndexed(x.elements(), kElementGrain, [&](int range, int64_t begin, int64_t end) {
      Simd([&]() ENCKE_INLINE {
        constexpr uint32_t kExponent = 0x7f800000u;  // all ones: infinite or NaN
        uint32_t bad = 0;
#pragma omp simd reduction(| : bad)
        for (int64_t i = begin; i < end; ++i) {
          const float v = Widen(data[i]);
          uint32_t bits;
          std::memcpy(&bits, &v, sizeof(bits));
          bad |= (bits & kExponent) == kExponent ? 1u : 0u;
        }
        found[range] = bad;
      });
    });
  });
  return std::accumulate(found.begin(), found.end(), 0u) == 0;
}

}  // namespace encke::cpu
