// Sixteen rANS coders in plain C++: what the vector versions have to reproduce.
#pragma once

#include "compression/simd/block.h"
#include "compression/simd/dense_format.h"

namespace encke::simd {
namespace {

class ReferenceRans {
 public:
  // Whether two chunks at a time are faster than one after the other.
  static constexpr bool kTogether = false;

  explicit ReferenceRans(const DenseTables& tables) : tables_(tables) {
    for (uint32_t& state : states_) state = kStateLow;
  }

  // Contexts of 16 elements from their neighbours' tokens.
  static void Contexts(const TokenNeighbours& near, const ContextRule& rule, uint8_t* contexts) {
    for (int i = 0; i < kLanes; ++i) {
      contexts[i] = ContextOf(near.left[i], near.up[i], near.corner[i], rule);
    }
  }

  // Context | token << 4.
  static void Indexes(const uint8_t* tokens, const TokenNeighbours& near, const ContextRule& rule,
                      uint8_t* indexes) {
    Contexts(near, rule, indexes);
    for (int i = 0; i < kLanes; ++i) indexes[i] |= static_cast<uint8_t>(tokens[i] << 4);
  }

  // Encodes 16 tokens given as context | token << 4, last group first; words go down from *words.
  void Put(const uint8_t* indexes, uint16_t** words) {
    for (int i = kLanes - 1; i >= 0; --i) {
      const uint32_t entry = tables_.entries[indexes[i] >> 4][indexes[i] & 15];
      const uint32_t start = entry >> 16, slots = entry >> 4 & (kProbabilityOne - 1);
      uint32_t& state = states_[i];
      if (state >= slots << (31 - kProbabilityBits)) {
        *--*words = static_cast<uint16_t>(state);
        state >>= 16;
      }
      state = (state / slots << kProbabilityBits) + state % slots + start;
    }
  }

  // Decodes 16 tokens; reads words upwards, false when they run out.
  bool Get(const uint8_t* contexts, uint8_t* tokens, const uint8_t** words, const uint8_t* end) {
    for (int i = 0; i < kLanes; ++i) {
      uint32_t& state = states_[i];
      const uint32_t slot = state & (kProbabilityOne - 1);
      uint32_t entry = tables_.entries[0][contexts[i]];
      for (int t = 1; t < tables_.tokens; ++t) {
        const uint32_t next = tables_.entries[t][contexts[i]];
        if (next >> 16 <= slot) entry = next;
      }
      tokens[i] = entry & 15;
      const uint32_t slots = entry >> 4 & (kProbabilityOne - 1);
      state = slots * (state >> kProbabilityBits) + slot - (entry >> 16);
      if (state < kStateLow) {
        if (end - *words < 2) return false;
        state = state << 16 | ReadWord(words);
      }
    }
    return true;
  }

  void CopyStates(const ReferenceRans& other) {
    for (int i = 0; i < kLanes; ++i) states_[i] = other.states_[i];
  }
  void Save(uint8_t* out) const { std::memcpy(out, states_, sizeof(states_)); }
  void Load(const uint8_t* in) { std::memcpy(states_, in, sizeof(states_)); }
  // Back where the encoder started.
  bool AtStart() const {
    for (uint32_t state : states_) {
      if (state != kStateLow) return false;
    }
    return true;
  }

 private:
  const DenseTables& tables_;
  uint32_t states_[kLanes];
};

}  // namespace
}  // namespace encke::simd
