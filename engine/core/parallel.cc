#include "engine/core/parallel.h"

#include <omp.h>

#include <algorithm>

namespace encke {

void SetThreads(int threads) { omp_set_num_threads(threads > 0 ? threads : omp_get_num_procs()); }

int Threads() { return omp_get_max_threads(); }

void ParallelForIndexed(int64_t n, int64_t grain,
                        const std::function<void(int, int64_t, int64_t)>& body) {
  if (n <= 0) return;
  const int64_t ranges =
      std::clamp<int64_t>(n / std::max<int64_t>(grain, 1), 1, omp_in_parallel() ? 1 : Threads());
  if (ranges == 1) {
    body(0, 0, n);
    return;
  }
#pragma omp parallel for schedule(static, 1) num_threads(ranges)
  for (int64_t i = 0; i < ranges; ++i)
    body(static_cast<int>(i), n * i / ranges, n * (i + 1) / ranges);
}

void ParallelFor(int64_t n, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
  ParallelForIndexed(n, grain, [&](int, int64_t begin, int64_t end) { body(begin, end); });
}

}  // namespace encke
