#include "compression/dense_tables.h"

#include <algorithm>
#include <cstring>
#include <numeric>

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

// Without a mask: of so many codes, one on either side may be outside the tables' window.
constexpr int64_t kTailShare = 512;
constexpr int kLowestInactive = -9;  // leaves tokens for active codes
constexpr int kHistogram = 4096;     // codes further from 0 than half of it count as its ends

// The compact form: kHead bytes, then for each context that the sample met (a bit in the head), and
// before them for the mean of all, a weight for each token.
//   head: tokens, shift, context kind, lowest (two bytes), contexts met (two bytes)
constexpr size_t kHead = 7;

// Weights 1 to 4096 as four bits of exponent and four of mantissa: within 1/32, which costs less
// than the bytes for more.
int64_t WeightOf(uint8_t packed) { return ((16 + (packed & 15)) << (packed >> 4)) >> 4; }

// The greatest that is not above `slots`.
uint8_t PackWeight(int64_t slots) {
  const int exponent = 63 - __builtin_clzll(static_cast<uint64_t>(slots));
  const int64_t mantissa = ((slots << 4) >> exponent) - 16;
  return static_cast<uint8_t>(exponent << 4 | mantissa);
}

// x * log2(x), about, in whole numbers, which are the same on every machine.
int64_t TimesLog2(int64_t x) {
  if (x == 0) return 0;
  const int whole = 63 - __builtin_clzll(static_cast<uint64_t>(x));
  return x * (whole * 256 + (x * 256 >> whole) - 256) / 256;
}

// Bits that an ideal coder takes for the counted tokens.
int64_t Cost(const int64_t (&counts)[kContexts][kTokens]) {
  int64_t bits = 0;
  for (const auto& context : counts) {
    int64_t total = 0;
    for (int64_t count : context) {
      total += count;
      bits -= TimesLog2(count);
    }
    bits += TimesLog2(total);
  }
  return bits;
}

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

// The entries of context `c` from the packed weights of its tokens.
void SetContext(const uint8_t* packed, int c, simd::DenseTables* tables) {
  int64_t weights[kTokens];
  uint16_t slots[kTokens];
  for (int t = 0; t < tables->tokens; ++t) weights[t] = WeightOf(packed[t]);
  Distribute(weights, tables->tokens, slots);
  uint32_t start = 0;
  for (int t = 0; t < tables->tokens; ++t) {
    tables->entries[t][c] =
        start << 16 | static_cast<uint32_t>(slots[t]) << 4 | static_cast<uint32_t>(t);
    start += slots[t];
  }
}

}  // namespace

void DenseTableBuilder::Add(std::vector<uint16_t> codes, const simd::DenseShape& shape) {
  chunks_.push_back({std::move(codes), shape});
}

// With a mask: the least shift under which nearly all codes have a token of their own.
DenseTableBuilder::Window DenseTableBuilder::ChooseMasked() const {
  int64_t elements = 0;
  for (const Chunk& chunk : chunks_) elements += chunk.codes.size();
  int shift = 0;
  for (; shift < simd::kMaxShift; ++shift) {
    int64_t ranges = 0;
    for (const Chunk& chunk : chunks_) {
      for (uint16_t code : chunk.codes) {
        ranges += simd::HighPart(code, shift) >= simd::kPlainTokens;
      }
    }
    if (ranges * kRangeShare <= elements) break;
  }
  return {shift, 0, simd::kMaskTokens};
}

DenseTableBuilder::Range DenseTableBuilder::CodeRange() const {
  std::vector<int64_t> histogram(kHistogram);
  int64_t elements = 0;
  for (const Chunk& chunk : chunks_) {
    for (uint16_t code : chunk.codes) {
      const int k = simd::FromZigzag(code);
      ++histogram[std::clamp(k + kHistogram / 2, 0, kHistogram - 1)];
    }
    elements += chunk.codes.size();
  }
  const int64_t tail = elements / kTailShare;
  int low = 0, high = kHistogram - 1;
  for (int64_t sum = histogram[low]; low < high && sum <= tail;) sum += histogram[++low];
  for (int64_t sum = histogram[high]; high > low && sum <= tail;) sum += histogram[--high];
  const bool negative =
      std::accumulate(histogram.begin(), histogram.begin() + kHistogram / 2, int64_t{0}) > 0;
  return {low - kHistogram / 2, high - kHistogram / 2, negative};
}

// Without: the least shift under which the tokens cover all codes but the tails.
DenseTableBuilder::Window DenseTableBuilder::ChooseSigned() const {
  const auto [low, high, negative] = CodeRange();
  // One token more on either side stands for the tails; what is never negative needs none below.
  int shift = 0;
  while (shift < simd::kMaxShift && (high >> shift) - (low >> shift) + 3 > kTokens) ++shift;
  const int lowest = negative || low > 0 ? (low >> shift) - 1 : 0;
  return {shift, lowest, std::clamp((high >> shift) + 2 - lowest, 2, kTokens)};
}

// With activity: the same for active codes alone; inactive ones, which are few, get no shift.
DenseTableBuilder::Window DenseTableBuilder::ChooseActivity() const {
  const Range range = CodeRange();
  const int lowest = range.negative ? std::clamp(range.low - 1, kLowestInactive, -1) : 0;
  const int high = std::max(range.high, 1);
  int shift = 0;
  while (shift < simd::kMaxShift && simd::ActivityHigh(high, shift) + 2 - lowest > kTokens) ++shift;
  return {shift, lowest, std::min(simd::ActivityHigh(high, shift) + 2 - lowest, kTokens)};
}

// The tokens of a chunk's codes, as the kernels find them, behind those outside the chunk.
std::vector<uint8_t> DenseTableBuilder::TokensOf(const Chunk& chunk, const Window& window) const {
  const int64_t outside = simd::NeighboursOf(chunk.shape.channels, chunk.shape.width).left;
  const int64_t elements = chunk.codes.size();
  std::vector<uint8_t> tokens(outside + elements, window.Zero());
  uint8_t* out = tokens.data() + outside;
  const uint16_t* codes = chunk.codes.data();
  if (mode_ == QuantizerMode::MASK) {
    for (int64_t i = 0; i < elements; ++i) {
      const int high = simd::HighPart(codes[i], window.shift);
      out[i] = simd::TokenOf(static_cast<uint8_t>(high < 255 ? high : 255));
    }
  } else {
    const int last = window.tokens - 1;
    for (int64_t i = 0; i < elements; ++i) {
      const int k = simd::FromZigzag(codes[i]);
      const int high = mode_ == QuantizerMode::ACTIVITY ? simd::ActivityHigh(k, window.shift)
                                                        : k >> window.shift;
      const int token = high - window.lowest;
      out[i] = static_cast<uint8_t>(token < 0 ? 0 : token > last ? last : token);
    }
  }
  return tokens;
}

void DenseTableBuilder::Count(const Chunk& chunk, const std::vector<uint8_t>& tokens,
                              const simd::ContextRule& rule, Counts counts) const {
  const simd::DenseNeighbours neighbours =
      simd::NeighboursOf(chunk.shape.channels, chunk.shape.width);
  const uint8_t* inside = tokens.data() + neighbours.left;
  const int64_t elements = chunk.codes.size();
  // What has no row above is rarer in whole chunks than in the sample's pieces.
  const bool rows = elements > neighbours.up;
  const int64_t up = rows ? neighbours.up : neighbours.left;
  std::vector<uint8_t> contexts(elements);
  const int64_t begin = rows ? neighbours.up : 0;
  for (int64_t i = begin; i < elements; ++i) {
    contexts[i] = simd::ContextOf(inside[i - neighbours.left], inside[i - up], rule);
  }
  // In two tables by turns: equal neighbours would wait for each other's count.
  int32_t turns[2][kContexts][kTokens] = {};
  for (int64_t i = begin; i < elements; ++i) ++turns[i & 1][contexts[i]][inside[i]];
  for (const auto& turn : turns) {
    for (int c = 0; c < kContexts; ++c) {
      for (int t = 0; t < kTokens; ++t) counts[c][t] += turn[c][t];
    }
  }
}

int64_t DenseTableBuilder::RawBits(const Window& window, int tokens, const Counts& counts) const {
  const bool mask = mode_ == QuantizerMode::MASK, all = mode_ == QuantizerMode::SIGNED;
  int64_t bits = 0;
  for (const auto& context : counts) {
    for (int t = 0; t < tokens; ++t) {
      const bool tail = t == tokens - 1 || (t == 0 && simd::HasLowTail(window.lowest));
      const int extra = mask ? simd::kTokenExtra[t] : tail ? simd::kTailBits : 0;
      bits += context[t] * (extra + (all || t > window.Zero() ? window.shift : 0));
    }
  }
  return bits;
}

DenseTableBuilder::Window DenseTableBuilder::ChooseWindow() const {
  switch (mode_) {
    case QuantizerMode::MASK:
      return ChooseMasked();
    case QuantizerMode::ACTIVITY:
      return ChooseActivity();
    default:
      return ChooseSigned();
  }
}

DenseTableBuilder::Model DenseTableBuilder::Learn() const {
  Model model = {};
  model.window = ChooseWindow();
  std::vector<std::vector<uint8_t>> seen;
  for (const Chunk& chunk : chunks_) seen.push_back(TokensOf(chunk, model.window));
  int64_t least = -1;
  for (const auto kind :
       {simd::ContextKind::SUM, simd::ContextKind::PAIR, simd::ContextKind::MEAN}) {
    if (kind == simd::ContextKind::MEAN && model.window.lowest >= 0) continue;  // it has no sides
    Counts counts = {};
    for (size_t i = 0; i < chunks_.size(); ++i) {
      Count(chunks_[i], seen[i], {kind, model.window.Zero()}, counts);
    }
    const int64_t cost = Cost(counts);
    if (least >= 0 && cost >= least) continue;
    least = cost;
    model.kind = kind;
    std::memcpy(model.counts, counts, sizeof(counts));
  }
  return model;
}

DenseTableBuilder::Result DenseTableBuilder::Build() const {
  const Model model = Learn();
  int64_t mean[kTokens] = {}, total = 1;
  int tokens = 2;
  for (const auto& context : model.counts) {
    for (int t = 0; t < kTokens; ++t) {
      mean[t] += context[t];
      total += context[t];
      // One more than was seen, for what the sample missed.
      if (context[t] > 0) tokens = std::max(tokens, std::min(t + 2, model.window.tokens));
    }
  }
  Result result;
  result.tables = Pack(model, tokens, mean, total);
  // Pieces' first rows were not counted.
  int64_t elements = 0;
  for (const Chunk& chunk : chunks_) elements += chunk.codes.size();
  const int64_t bits = Cost(model.counts) + RawBits(model.window, tokens, model.counts);
  result.bits = bits * std::max<int64_t>(elements, 1) / total;
  return result;
}

std::vector<uint8_t> DenseTableBuilder::Pack(const Model& model, int tokens, const int64_t* mean,
                                             int64_t total) {
  std::vector<uint8_t> bytes(kHead);
  const auto lowest = static_cast<int16_t>(model.window.lowest);
  uint16_t met = 0;
  const auto append = [&](const int64_t* weights) {
    uint16_t slots[kTokens];
    Distribute(weights, tokens, slots);
    for (int t = 0; t < tokens; ++t) bytes.push_back(PackWeight(slots[t]));
  };
  append(mean);
  for (int c = 0; c < kContexts; ++c) {
    const int64_t* counts = model.counts[c];
    if (std::all_of(counts, counts + kTokens, [](int64_t n) { return n == 0; })) continue;
    met |= static_cast<uint16_t>(1 << c);
    int64_t weights[kTokens];
    for (int t = 0; t < kTokens; ++t) {
      weights[t] = counts[t] * kPrecision + mean[t] * kPrior * kPrecision / total;
    }
    append(weights);
  }
  bytes[0] = static_cast<uint8_t>(tokens);
  bytes[1] = static_cast<uint8_t>(model.window.shift);
  bytes[2] = static_cast<uint8_t>(model.kind);
  std::memcpy(&bytes[3], &lowest, sizeof(lowest));
  std::memcpy(&bytes[5], &met, sizeof(met));
  return bytes;
}

bool AreDenseTables(const std::vector<uint8_t>& bytes) {
  if (bytes.size() <= kHead) return false;
  const size_t tokens = bytes[0],
               contexts = static_cast<size_t>(simd::Popcount(bytes[5] | bytes[6] << 8));
  return tokens >= 2 && tokens <= kTokens && bytes[1] <= simd::kMaxShift &&
         bytes[2] <= static_cast<uint8_t>(simd::ContextKind::PAIR) &&
         bytes.size() == kHead + tokens * (1 + contexts);
}

simd::DenseTables ExpandDenseTables(const std::vector<uint8_t>& bytes) {
  ENCKE_CHECK(AreDenseTables(bytes), bytes.size());
  const int tokens = bytes[0];
  int16_t lowest;
  uint16_t met;
  std::memcpy(&lowest, &bytes[3], sizeof(lowest));
  std::memcpy(&met, &bytes[5], sizeof(met));
  const DenseTableBuilder::Window window = {bytes[1], lowest, tokens};
  simd::DenseTables tables = {};
  tables.tokens = tokens;
  tables.shift = window.shift;
  tables.lowest = window.lowest;
  tables.rule = {static_cast<simd::ContextKind>(bytes[2]), window.Zero()};
  for (auto& row : tables.entries) std::fill(row, row + kContexts, simd::kNoEntry);
  size_t next = kHead + tokens;
  for (int c = 0; c < kContexts; ++c) {
    const bool own = (met >> c & 1) != 0;
    SetContext(&bytes[own ? next : kHead], c, &tables);
    if (own) next += tokens;
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
