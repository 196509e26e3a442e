// Runs of channels that a pooling loop works on together.
#pragma once

#include <cstdint>
#include <type_traits>

#include "engine/backend/cpu/simd.h"
#include "engine/backend/pool_geometry.h"

namespace encke::cpu {

// Channels worked on together.
inline constexpr int64_t kPoolLanes = 64;

// Calls f(c, count) for the channels [c, c + count) of each run of at most kPoolLanes; `count` is a
// constant for full runs, so that their loops unroll.
template <typename F>
ENCKE_INLINE inline void ForEachRun(int64_t channels, const F& f) {
  int64_t c = 0;
  for (; c + kPoolLanes <= channels; c += kPoolLanes)
    f(c, std::integral_constant<int64_t, kPoolLanes>());
  if (c < channels) f(c, channels - c);
}

}  // namespace encke::cpu
