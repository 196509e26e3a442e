#include "engine/core/rng.h"

#include <cmath>

#include "engine/core/error.h"

namespace encke {

std::array<uint32_t, 4> Philox4x32(uint64_t key, uint64_t counter_high, uint64_t counter_low) {
  constexpr uint32_t kM0 = 0xD2511F53, kM1 = 0xCD9E8D57;  // multipliers
  constexpr uint32_t kW0 = 0x9E3779B9, kW1 = 0xBB67AE85;  // key increments
  std::array<uint32_t, 4> c = {
      static_cast<uint32_t>(counter_low), static_cast<uint32_t>(counter_low >> 32),
      static_cast<uint32_t>(counter_high), static_cast<uint32_t>(counter_high >> 32)};
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = static_cast<uint64_t>(kM0) * c[0];
    const uint64_t p1 = static_cast<uint64_t>(kM1) * c[2];
    c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<uint32_t>(p1),
         static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<uint32_t>(p0)};
    k0 += kW0;
    k1 += kW1;
  }
  return c;
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
