// Learns the DENSE codec's token distributions from a sample of a value.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "compression/simd/dense_format.h"

namespace encke {

// Gathers a sample's codes chunk by chunk, then makes the tables.
class DenseTableBuilder {
 public:
  explicit DenseTableBuilder(QuantizerMode mode) : mode_(mode) {}

  // Codes of one chunk of NHWC shape ... x width x channels.
  void Add(std::vector<uint16_t> codes, const simd::DenseShape& shape);
  struct Result {
    std::vector<uint8_t> tables;  // in compact form, at most 279 bytes
    int64_t bits;                 // what the sample takes with them, about
  };
  Result Build() const;

  // What the tokens stand for.
  struct Window {
    int shift, lowest, tokens;

    uint8_t Zero() const { return static_cast<uint8_t>(std::clamp(-lowest, 0, tokens - 1)); }
  };

 private:
  struct Chunk {
    std::vector<uint16_t> codes;
    simd::DenseShape shape;
  };
  using Counts = int64_t[simd::kContexts][simd::kTokens];

  struct Model {
    Window window;
    simd::ContextKind kind;
    Counts counts;
    int64_t bits;  // that an ideal coder takes, raw ones included
  };
  Model ModelOf(const Window& window, simd::ContextKind kind,
                const std::vector<std::vector<uint8_t>>& seen) const;
  // The cheapest.
  Model Learn() const;
  // `mean`: the counts of all contexts, `total` together.
  static std::vector<uint8_t> Pack(const Model& model, int tokens, const int64_t* mean,
                                   int64_t total);

  // Raw bits beside the tokens that were counted.
  int64_t RawBits(const Window& window, int tokens, const Counts& counts) const;
  // Worth trying: from the least shift that leaves the tokens some sense to the first that gives
  // nearly all codes a token of their own.
  std::vector<Window> Windows() const;
  std::vector<Window> MaskedWindows() const;
  std::vector<Window> SignedWindows() const;
  std::vector<Window> ActivityWindows() const;
  std::vector<uint8_t> TokensOf(const Chunk& chunk, const Window& window) const;
  void Count(const Chunk& chunk, const std::vector<uint8_t>& tokens, const simd::ContextRule& rule,
             Counts counts) const;

  QuantizerMode mode_;
  std::vector<Chunk> chunks_;
};

// Whether ExpandDenseTables can read them, and coders work with what it makes of them
// in this mode.
bool AreDenseTables(const std::vector<uint8_t>& compact, QuantizerMode mode);

// REQUIRES: AreDenseTables.
simd::DenseTables ExpandDenseTables(const std::vector<uint8_t>& compact);

}  // namespace encke
