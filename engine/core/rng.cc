#include "engine/core/rng.h"

#include <cmath>

#include "engine/core/error.h"
#include "engine/core/philox.h"

namespace encke {

std::array<uint32_t, 4> Philox4x32(uint64_t key, uint64_t counter_high, uint64_t counter_low) {
  const PhiloxBlock block = Philox(key, counter_high, counter_low);
  return {block.words[0], block.words[1], block.words[2], block.words[3]};
}

Rng::Rng(uint64_t seed, RngStream stream, uint64_t substream)
    : key_(seed ^ (static_cast<uint64_t>(stream) << 56)), high_(substream) {}

uint32_t Rng::NextU32() {
  if (used_ == 4) {
    block_ = Philox4x32(key_, high_, low_++);
    used_ = 0;
  }
  return block_[used_++];
}

uint64_t Rng::NextU64() {
  const uint64_t high = NextU32();
  return (high << 32) | NextU32();
}

double Rng::Uniform() { return static_cast<double>(NextU64() >> 11) * 0x1p-53; }

uint64_t Rng::Below(uint64_t n) {
  ENCKE_CHECK(n > 0);
  const uint64_t reject =
      (~n + 1) % n;  // 2^64 mod n draws at the bottom would favour small results
  uint64_t draw = NextU64();
  while (draw < reject) draw = NextU64();
  return draw % n;
}

double Rng::Normal() {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - Uniform()));
  return radius * std::cos(6.283185307179586 * Uniform());
}

}  // namespace encke
