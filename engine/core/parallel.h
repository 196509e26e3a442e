// Work shared by the threads of the process: the same OpenMP pool that oneDNN uses, so that the two
// never compete. Splits depend only on the size and the thread count: same input, same thread
// count, same result.
#pragma once

#include <cstdint>
#include <functional>

namespace encke {

// Threads used from now on, by ParallelFor and by oneDNN; 0 means one for each core this process
// may run on.
void SetThreads(int threads);
int Threads();

// Calls body(begin, end) on disjoint ranges that cover [0, n), each at least `grain` long (but for
// the last), from several threads; returns when all are done. `body` must not throw.
void ParallelFor(int64_t n, int64_t grain, const std::function<void(int64_t, int64_t)>& body);

// The same with the index of the range, below Threads(), for per-thread partial results.
void ParallelForIndexed(int64_t n, int64_t grain,
                        const std::function<void(int, int64_t, int64_t)>& body);

}  // namespace encke
