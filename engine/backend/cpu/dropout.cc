// Dropout whose mask is a pure function of (seed, stream, element index):
//
//   word = Philox4x32(key, stream, i / 4)[i % 4],  key as Rng makes it for RngStream::DROPOUT
//   kept where word >= p * 2^32
#include <algorithm>
#include <cmath>

#include "engine/backend/cpu/cpu_backend.h"
#include "engine/backend/cpu/simd.h"
#include "engine/core/error.h"
#include "engine/core/rng.h"

namespace encke::cpu {
namespace {

constexpr int64_t kBlocks = 64;          // Philox calls made together
constexpr int64_t kGroup = 4 * kBlocks;  // elements they serve

struct PhiloxStream {
  uint64_t key, high;
};

// words[4 * b + lane] = Philox4x32(stream, first + b)[lane]; the same as engine/core/rng.cc, in
// vectors.
ENCKE_INLINE inline void DrawGroup(PhiloxStream stream, uint64_t first, uint32_t* words) {
#pragma omp simd
  for (int64_t b = 0; b < kBlocks; ++b) {
    const uint64_t low = first + b;
    uint32_t c0 = static_cast<uint32_t>(low), c1 = static_cast<uint32_t>(low >> 32);
    uint32_t c2 = static_cast<uint32_t>(stream.high);
    uint32_t c3 = static_cast<uint32_t>(stream.high >> 32);
    uint32_t k0 = static_cast<uint32_t>(stream.key), k1 = static_cast<uint32_t>(stream.key >> 32);
#pragma GCC unroll 10
    for (int round = 0; round < 10; ++round) {
      const uint64_t p0 = static_cast<uint64_t>(0xD2511F53u) * c0;
      const uint64_t p1 = static_cast<uint64_t>(0xCD9E8D57u) * c2;
      c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
      c1 = static_cast<uint32_t>(p1);
      c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
      c3 = static_cast<uint32_t>(p0);
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    words[4 * b] = c0;
    words[4 * b + 1] = c1;
    words[4 * b + 2] = c2;
    words[4 * b + 3] = c3;
  }
}

}  // namespace

void CpuBackend::Dropout(const DropoutMask& mask, const Tensor& x, const Tensor& y) {
  ENCKE_CHECK(mask.p >= 0.0f && mask.p < 1.0f && mask.first >= 0, mask.p, mask.first);
  CheckAlike(x, y);
  const PhiloxStream random = {mask.seed ^ (static_cast<uint64_t>(RngStream::DROPOUT) << 56),
                               mask.stream};
  const uint32_t threshold = static_cast<uint32_t>(std::ldexp(static_cast<double>(mask.p), 32));
  const float scale = 1.0f / (1.0f - mask.p);
  // Groups count from the mask's beginning, so a slice may begin and end inside one.
  const int64_t first = mask.first, end_of_mask = first + x.elements();
  const int64_t first_group = first / kGroup;
  const int64_t groups = (end_of_mask + kGroup - 1) / kGroup - first_group;
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    const T* from = Elements<T>(x);
    T* to = Elements<T>(y);
    ParallelSimd(groups, 8, [=](int64_t begin, int64_t end) ENCKE_INLINE {
      alignas(64) uint32_t words[kGroup];
      for (int64_t group = first_group + begin; group < first_group + end; ++group) {
        DrawGroup(random, group * kBlocks, words);
        const int64_t base = std::max(group * kGroup, first);
        const int64_t count = std::min((group + 1) * kGroup, end_of_mask) - base;
        const uint32_t* word = words + (base - group * kGroup);
#pragma omp simd
        for (int64_t i = 0; i < count; ++i) {
          const float kept = Widen(from[base - first + i]) * scale;
          to[base - first + i] = Narrow<T>(word[i] >= threshold ? kept : 0.0f);
        }
      }
    });
  });
}

}  // namespace encke::cpu
