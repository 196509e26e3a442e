// The bias's gradient where a matrix product computes the filter's.
#pragma once

#include <cstdint>

namespace encke::cpu {

// out[k] (+)= sum over n of dy[n][k]; dy [rows, columns]
void SumRows(const float* dy, int64_t rows, int64_t columns, bool accumulate, float* out);

}  // namespace encke::cpu
