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

// A window may leave at most one code in so many to raw extra bits, which take time.
constexpr int64_t kMostOutside = 16;
// A context's distribution starts from this many elements of the mean one.
constexpr int64_t kPrior = 8;
constexpr int64_t kPrecision = 1 << 20;

// One code in so many outside, on either side, is next to none.
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

// With the kind known, compilers turn the loop into vector code.
template <simd::ContextKind kKind>
void FillContextsOf(const simd::TokenNeighbours& near, uint8_t zero, int64_t count, uint8_t* out) {
  const simd::ContextRule rule = {kKind, zero};
  for (int64_t i = 0; i < count; ++i) {
    out[i] = simd::ContextOf(near.left[i], near.up[i], near.corner[i], rule);
  }
}

void FillContexts(const simd::TokenNeighbours& near, const simd::ContextRule& rule, int64_t count,
                  uint8_t* out) {
  using simd::ContextKind;
  switch (rule.kind) {
    case ContextKind::SUM:
      return FillContextsOf<ContextKind::SUM>(near, rule.zero, count, out);
    case ContextKind::MEAN:
      return FillContextsOf<ContextKind::MEAN>(near, rule.zero, count, out);
    case ContextKind::PAIR:
      return FillContextsOf<ContextKind::PAIR>(near, rule.zero, count, out);
    case ContextKind::MEDIAN:
      return FillContextsOf<ContextKind::MEDIAN>(near, rule.zero, count, out);
  }
}

// How often each number of a code occurs.
class CodeNumbers {
 public:
  void Add(const std::vector<uint16_t>& codes) {
    for (uint16_t code : codes) {
      const int k = simd::FromZigzag(code);
      ++counts_[std::clamp(k + kHistogram / 2, 0, kHistogram - 1)];
    }
    elements_ += static_cast<int64_t>(codes.size());
  }

  int64_t elements() const { return elements_; }
  // The least and greatest number but for one code in `share` on either side.
  int Low(int64_t share) const {
    int low = 0;
    for (int64_t sum = counts_[0]; low + 1 < kHistogram && sum <= elements_ / share;) {
      sum += counts_[++low];
    }
    return low - kHistogram / 2;
  }
  int High(int64_t share) const {
    int high = kHistogram - 1;
    for (int64_t sum = counts_[high]; high > 0 && sum <= elements_ / share;) sum += counts_[--high];
    return high - kHistogram / 2;
  }
  // Codes with numbers in [low, high].
  int64_t Within(int low, int high) const {
    const int begin = std::clamp(low + kHistogram / 2, 0, kHistogram);
    const int end = std::clamp(high + kHistogram / 2 + 1, begin, kHistogram);
    return std::accumulate(counts_.begin() + begin, counts_.begin() + end, int64_t{0});
  }

 private:
  std::vector<int64_t> counts_ = std::vector<int64_t>(kHistogram);
  int64_t elements_ = 0;
};

}  // namespace

void DenseTableBuilder::Add(std::vector<uint16_t> codes, const simd::DenseShape& shape) {
  chunks_.push_back({std::move(codes), shape});
}

std::vector<DenseTableBuilder::Window> DenseTableBuilder::MaskedWindows() const {
  int64_t elements = 0;
  for (const Chunk& chunk : chunks_) elements += chunk.codes.size();
  std::vector<Window> windows;
  for (int shift = 0; shift <= simd::kMaxShift; ++shift) {
    int64_t ranges = 0;
    for (const Chunk& chunk : chunks_) {
      for (uint16_t code : chunk.codes) {
        ranges += simd::HighPart(code, shift) >= simd::kPlainTokens;
      }
    }
    if (ranges * kMostOutside <= elements) windows.push_back({shift, 0, simd::kMaskTokens});
    if (ranges * kTailShare <= elements) break;
  }
  if (windows.empty()) windows.push_back({simd::kMaxShift, 0, simd::kMaskTokens});
  return windows;
}

// One token on either side stands for the tails; what is never negative needs none below.
std::vector<DenseTableBuilder::Window> DenseTableBuilder::SignedWindows() const {
  CodeNumbers numbers;
  for (const Chunk& chunk : chunks_) numbers.Add(chunk.codes);
  const int low = numbers.Low(kTailShare), high = numbers.High(kTailShare);
  const bool negative = low > 0 || numbers.Within(-kHistogram, -1) > 0;
  std::vector<Window> windows;
  for (int shift = 0; shift <= simd::kMaxShift; ++shift) {
    const int first = negative ? (low >> shift) - 1 : 0, last = (high >> shift) + 1;
    if (last - first < kTokens) {
      windows.push_back({shift, first, std::max(last - first + 1, 2)});
      break;
    }
    // Not all of them: where the most are inside.
    Window best = {shift, first, kTokens};
    int64_t most = -1;
    for (int lowest = first; negative ? lowest + kTokens <= last + 1 : lowest == 0; ++lowest) {
      if (negative && lowest == 0) continue;  // there would be no tail below
      const int64_t inside =
          numbers.Within((lowest + (simd::HasLowTail(lowest) ? 1 : 0)) * (1 << shift),
                         (lowest + kTokens - 1) * (1 << shift) - 1);
      if (inside > most) best.lowest = lowest;
      most = std::max(most, inside);
    }
    if ((numbers.elements() - most) * kMostOutside <= numbers.elements()) windows.push_back(best);
  }
  if (windows.empty()) windows.push_back({simd::kMaxShift, -kTokens / 2, kTokens});
  return windows;
}

// Inactive codes, which are few, get no shift.
std::vector<DenseTableBuilder::Window> DenseTableBuilder::ActivityWindows() const {
  CodeNumbers numbers;
  for (const Chunk& chunk : chunks_) numbers.Add(chunk.codes);
  const bool negative = numbers.Within(-kHistogram, -1) > 0;
  const int lowest = negative ? std::clamp(numbers.Low(kTailShare) - 1, kLowestInactive, -1) : 0;
  const int high = std::max(numbers.High(kTailShare), 1);
  std::vector<Window> windows;
  for (int shift = 0; shift <= simd::kMaxShift; ++shift) {
    const int tokens = simd::ActivityHigh(high, shift) + 2 - lowest;
    const int last = lowest + kTokens - 1;  // the upper tail
    const int64_t outside = numbers.Within(((last - 1) << shift) + 1, kHistogram);
    if (tokens <= kTokens || outside * kMostOutside <= numbers.elements()) {
      windows.push_back({shift, lowest, std::min(tokens, kTokens)});
    }
    if (tokens <= kTokens) break;
  }
  if (windows.empty()) windows.push_back({simd::kMaxShift, lowest, kTokens});
  return windows;
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
  const int64_t corner = rows ? neighbours.up + neighbours.left : neighbours.left;
  const int64_t begin = rows ? neighbours.up : 0, counted = elements - begin;
  const uint8_t* own = inside + begin;
  std::vector<uint8_t> contexts(counted);
  FillContexts({own - neighbours.left, own - up, own - corner}, rule, counted, contexts.data());
  // In two tables by turns: equal neighbours would wait for each other's count.
  int32_t turns[2][kContexts][kTokens] = {};
  for (int64_t i = 0; i < counted; ++i) ++turns[i & 1][contexts[i]][own[i]];
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

std::vector<DenseTableBuilder::Window> DenseTableBuilder::Windows() const {
  switch (mode_) {
    case QuantizerMode::MASK:
      return MaskedWindows();
    case QuantizerMode::ACTIVITY:
      return ActivityWindows();
    default:
      return SignedWindows();
  }
}

// The model of one window and one rule for contexts, whose tokens are `seen`.
DenseTableBuilder::Model DenseTableBuilder::ModelOf(
    const Window& window, simd::ContextKind kind,
    const std::vector<std::vector<uint8_t>>& seen) const {
  Model model = {};
  model.window = window;
  model.kind = kind;
  for (size_t i = 0; i < chunks_.size(); ++i) {
    Count(chunks_[i], seen[i], {kind, window.Zero()}, model.counts);
  }
  model.bits = Cost(model.counts) + RawBits(window, window.tokens, model.counts);
  return model;
}

// The window under one rule, then the rule.
DenseTableBuilder::Model DenseTableBuilder::Learn() const {
  Model best = {};
  std::vector<std::vector<uint8_t>> best_seen;
  for (const Window& window : Windows()) {
    std::vector<std::vector<uint8_t>> seen;
    for (const Chunk& chunk : chunks_) seen.push_back(TokensOf(chunk, window));
    const Model model = ModelOf(window, simd::ContextKind::MEDIAN, seen);
    if (!best_seen.empty() && model.bits >= best.bits) continue;
    best = model;
    best_seen = std::move(seen);
  }
  for (const auto kind :
       {simd::ContextKind::SUM, simd::ContextKind::PAIR, simd::ContextKind::MEAN}) {
    const Model model = ModelOf(best.window, kind, best_seen);
    if (model.bits < best.bits) best = model;
  }
  return best;
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
  // Active codes, which have raw bits, must not share a token with the inactive cell at 0.
  if (mode_ == QuantizerMode::ACTIVITY) tokens = std::max(tokens, model.window.Zero() + 2);
  Result result;
  result.tables = Pack(model, tokens, mean, total);
  // Pieces' first rows were not counted.
  int64_t elements = 0;
  for (const Chunk& chunk : chunks_) elements += chunk.codes.size();
  result.bits = model.bits * std::max<int64_t>(elements, 1) / total;
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

bool AreDenseTables(const std::vector<uint8_t>& bytes, QuantizerMode mode) {
  if (bytes.size() <= kHead) return false;
  const size_t tokens = bytes[0],
               contexts = static_cast<size_t>(simd::Popcount(bytes[5] | bytes[6] << 8));
  int16_t lowest;
  std::memcpy(&lowest, &bytes[3], sizeof(lowest));
  const int most = mode == QuantizerMode::SIGNED ? kHistogram : 0;
  const int least = mode == QuantizerMode::SIGNED ? -kHistogram
                    : mode == QuantizerMode::MASK ? 0
                                                  : 2 - static_cast<int>(tokens);
  return lowest >= least && lowest <= most && tokens >= 2 && tokens <= kTokens &&
         bytes[1] <= simd::kMaxShift && bytes[2] < simd::kContextKinds &&
         bytes.size() == kHead + tokens * (1 + contexts);
}

simd::DenseTables ExpandDenseTables(const std::vector<uint8_t>& bytes) {
  ENCKE_CHECK(bytes.size() > kHead, bytes.size());
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

int64_t DenseDecodingScratch(int64_t elements, const DenseShape& shape) {
  const int64_t n = (elements + kBlockElements - 1) / kBlockElements * kBlockElements;
  return n + kBlockElements + NeighboursOf(shape.channels, shape.width).left;
}

}  // namespace simd
}  // namespace encke
