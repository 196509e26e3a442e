#include "engine/backend/cpu/sum_rows.h"

#include <algorithm>

#include "engine/backend/cpu/simd.h"

namespace encke::cpu {

void SumRows(const float* dy, int64_t rows, int64_t columns, bool accumulate, float* out) {
  ParallelSimd(columns, RowGrain(rows), [=](int64_t begin, int64_t end) ENCKE_INLINE {
    if (!accumulate) std::fill(out + begin, out + end, 0.0f);
    for (int64_t n = 0; n < rows; ++n) {
#pragma omp simd
      for (int64_t k = begin; k < end; ++k) out[k] += dy[n * columns + k];
    }
  });
}

}  // namespace encke::cpu
