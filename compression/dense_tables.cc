#include "compression/dense_tables.h"

#include <algorithm>
#include <cstring>

#include "engine/core/error.h"

namespace encke {
namespace {

using simd::kContexts;
using simd::kProbabilityOne;
using simd::kTokens;

// With fewer than one code in so many outside the plain tokens, raw extra bits cost no time.
constexpr int64_t kRangeShare = 20;
// A context's distribution starts from this many elements of the mean one.
constexpr int64_t kPrior = 8;
constexpr int64_t kPrecision = 1 << 20;

struct Compact {
  uint8_t tokens, shift;
  uint16_t slots[kContexts][kTokens];
};

// Slots in proportion to `weights`, at least one each, kProbabilityOne together.
void Distribute(const int64_t* weights, int tokens, uint16_t* slots) {
  int64_t total = 0;
  for (int t = 0; t < tokens; ++t) total += weights[t];
  int left = kProbabilityOne;
  for (int t = 0; t < tokens; ++t) {
    slots[t] = static_cast<uint16_t>(1 + weights[t] * (kProbabilityOne - tokens) /
                                             std::max<int64_t>(total, 1));
    left -= slots[t];
  }
  slots[std::max_element(weights, weights + tokens) - weights] += static_cast<uint16_t>(left);
}

}  // namespace

void DenseTableBuilder::Add(std::vector<uint16_t> codes, const simd::DenseShape& shape) {
  chunks_.push_back({std::move(codes), shape});
}

// The least shift under which nearly all codes have a token of their own.
int DenseTableBuilder::ChooseShift() const {
  int64_t elements = 0;
  for (const Chunk& chunk : chunks_) elements += chunk.codes.size();
  for (int shift = 0; shift < simd::kMaxShift; ++shift) {
    int64_t ranges = 0;
    for (const Chunk& chunk : chunks_) {
      for (uint16_t code : chunk.codes) {
        ranges += simd::HighPart(code, shift, mask_) >= simd::kPlainTokens;
      }
    }
    if (ranges * kRangeShare <= elements) return shift;
  }
  return simd::kMaxShift;
}

void DenseTableBuilder::Count(const Chunk& chunk, int shift, Counts counts) const {
  const simd::DenseNeighbours neighbours =
      simd::NeighboursOf(chunk.shape.channels, chunk.shape.width);
  std::vector<uint8_t> tokens(neighbours.left + chunk.codes.size());
  const bool halve = !mask_ && shift == 0;
  for (size_t i = 0; i < chunk.codes.size(); ++i) {
    const int high = simd::HighPart(chunk.codes[i], shift, mask_);
    uint8_t* token = tokens.data() + neighbours.left + i;
    *token = high < 256 ? simd::TokenOf(static_cast<uint8_t>(high)) : 0;
    const bool first_row = static_cast<int64_t>(i) < neighbours.up;
    const uint8_t* up = token - (first_row ? neighbours.left : neighbours.up);
    ++counts[simd::ContextOf(token[-neighbours.left], *up, halve)][*token];
  }
}

std::vector<uint8_t> DenseTableBuilder::Build() const {
  Compact compact = {};
  compact.shift = static_cast<uint8_t>(ChooseShift());
  Counts counts = {};
  for (const Chunk& chunk : chunks_) Count(chunk, compact.shift, counts);
  int64_t mean[kTokens] = {}, total = 1;
  int tokens = 2;
  for (const auto& context : counts) {
    for (int t = 0; t < kTokens; ++t) {
      mean[t] += context[t];
      total += context[t];
      // One more than was seen, for what the sample missed.
      if (context[t] > 0) tokens = std::max(tokens, std::min(t + 2, kTokens));
    }
  }
  compact.tokens = static_cast<uint8_t>(tokens);
  for (int c = 0; c < kContexts; ++c) {
    int64_t weights[kTokens];
    for (int t = 0; t < kTokens; ++t) {
      weights[t] = counts[c][t] * kPrecision + mean[t] * kPrior * kPrecision / total;
    }
    Distribute(weights, tokens, compact.slots[c]);
  }
  std::vector<uint8_t> bytes(sizeof(compact));
  std::memcpy(bytes.data(), &compact, sizeof(compact));
  return bytes;
}

simd::DenseTables ExpandDenseTables(const std::vector<uint8_t>& bytes) {
  ENCKE_CHECK(bytes.size() == sizeof(Compact), bytes.size());
  Compact compact;
  std::memcpy(&compact, bytes.data(), sizeof(compact));
  simd::DenseTables tables = {};
  tables.tokens = compact.tokens;
  tables.shift = compact.shift;
  for (int c = 0; c < kContexts; ++c) {
    uint32_t start = 0;
    for (uint32_t t = 0; t < compact.tokens; ++t) {
      tables.entries[t][c] = start << 16 | static_cast<uint32_t>(compact.slots[c][t]) << 4 | t;
      start += compact.slots[c][t];
    }
  }
  return tables;
}

namespace simd {

int64_t DenseScratch(int64_t elements, const DenseShape& shape) {
  const int64_t n = (elements + kBlockElements - 1) / kBlockElements * kBlockElements;
  return 7 * n + 512 + NeighboursOf(shape.channels, shape.width).left;
}

}  // namespace simd
}  // namespace encke
