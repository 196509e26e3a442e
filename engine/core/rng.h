// Counter-based random numbers: a draw is a pure function of (seed, stream, counter), so that a
// mask or an augmentation can be made again at any time, in any order, on any thread.
// Philox4x32-10: Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011, section 3.
#pragma once

#include <array>
#include <cstdint>

namespace encke {

// Four 32-bit words for a 64-bit key and a 128-bit counter.
std::array<uint32_t, 4> Philox4x32(uint64_t key, uint64_t counter_high, uint64_t counter_low);

// Who draws; keeps the sequences of different users of one seed apart.
enum class RngStream : uint32_t {
  INIT = 1,
  SHUFFLE,
  AUGMENT,
  DROPOUT,
  SYNTHETIC,
  QUANTIZE,
  TEST,
  PLAN
};

// A sequence of draws. `substream` separates e.g. parameters, samples or (iteration, layer) of one
// stream.
class Rng {
 public:
  Rng(uint64_t seed, RngStream stream, uint64_t substream = 0);

  uint32_t NextU32();
  uint64_t NextU64();
  // Uniform in [0, 1).
  double Uniform();
  // Uniform in {0, ..., n - 1}, without bias. REQUIRES: n > 0.
  uint64_t Below(uint64_t n);
  // Standard normal (Box-Muller).
  double Normal();

 private:
  uint64_t key_;
  uint64_t high_;
  uint64_t low_ = 0;
  std::array<uint32_t, 4> block_{};
  int used_ = 4;
};

}  // namespace encke
