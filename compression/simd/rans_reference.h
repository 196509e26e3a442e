// Sixteen rANS coders in plain C++: what the vector versions have to reproduce.
#pragma once

#include "compression/simd/block.h"
#include "compression/simd/dense_format.h"

namespace encke::simd {
namespace {

struct ReferenceContexts {
  static constexpr int kElements = kLanes;

  // Of 16 elements in each of N chunks, from their neighbours' tokens, in the order of Get.
  template <int N>
  static void Contexts(const TokenNeighbours (&near)[N], const ContextRule& rule,
                       uint8_t* contexts) {
    for (int i = 0; i < kLanes; ++i) {
      contexts[i] = ContextOf(near[0].left[i], near[0].up[i], near[0].corner[i], rule);
    }
  }

  // Context | token << 4.
  static void Indexes(const uint8_t* tokens, const TokenNeighbours& near, const ContextRule& rule,
                      uint8_t* indexes) {
    Contexts<1>({near}, rule, indexes);
    for (int i = 0; i < kLanes; ++i) indexes[i] |= static_cast<uint8_t>(tokens[i] << 4);
  }
};

class ReferenceRans {
 public:
  // Of a chunk's coders.
  struct State {
    uint32_t lane[kLanes];
  };
  // Narrow ones are those of a group of 16 elements, wide ones of as many as are faster.
  using NarrowContexts = ReferenceContexts;
  using WideContexts = ReferenceContexts;
  // Chunks that Put and Get take at the most, powers of two, and groups that Put takes.
  static constexpr int kPutTogether = 1, kGetTogether = 1;
  static constexpr int kGroupsAtOnce = 1;

  explicit ReferenceRans(const DenseTables& tables) : tables_(tables) {}

  static State Start() {
    State state;
    for (uint32_t& x : state.lane) x = kStateLow;
    return state;
  }
  // Whether a decoder is where the encoder started.
  static bool AtStart(const State& state) {
    for (uint32_t x : state.lane) {
      if (x != kStateLow) return false;
    }
    return true;
  }
  static void Save(const State& state, uint8_t* out) { std::memcpy(out, &state, sizeof(state)); }
  static State Load(const uint8_t* in) {
    State state;
    std::memcpy(&state, in, sizeof(state));
    return state;
  }

  // Encodes so many groups of 16 tokens of each of N chunks, given as context | token << 4, last
  // group first; words go down, and up to 16 below may be overwritten.
  template <int kGroups, int N>
  void Put(const uint8_t* const (&indexes)[N], State (&states)[N], uint16_t* (&words)[N]) const {
    static_assert(N == 1 && kGroups == 1);
    for (int i = kLanes - 1; i >= 0; --i) {
      const int index = indexes[0][i];
      const uint32_t entry = tables_.entries[index >> 4][index & 15];
      const uint32_t start = entry >> 16, slots = entry >> 4 & (kProbabilityOne - 1);
      uint32_t& x = states[0].lane[i];
      if (x >= slots << (31 - kProbabilityBits)) {
        *--words[0] = static_cast<uint16_t>(x);
        x >>= 16;
      }
      x = (x / slots << kProbabilityBits) + x % slots + start;
    }
  }

  // Decodes 16 tokens of each of N chunks; reads words upwards, false when a chunk's run out. kFar:
  // each has 16 or more.
  template <bool kFar, int N>
  bool Get(const uint8_t* contexts, State (&states)[N], uint8_t* const (&tokens)[N],
           const uint8_t* (&words)[N], const uint8_t* const (&ends)[N]) const {
    static_assert(N == 1);
    for (int i = 0; i < kLanes; ++i) {
      uint32_t& x = states[0].lane[i];
      const uint32_t slot = x & (kProbabilityOne - 1);
      uint32_t entry = tables_.entries[0][contexts[i]];
      for (int t = 1; t < tables_.tokens; ++t) {
        const uint32_t next = tables_.entries[t][contexts[i]];
        if (next >> 16 <= slot) entry = next;
      }
      tokens[0][i] = entry & 15;
      const uint32_t slots = entry >> 4 & (kProbabilityOne - 1);
      x = slots * (x >> kProbabilityBits) + slot - (entry >> 16);
      if (x < kStateLow) {
        if (ends[0] - words[0] < 2) return false;
        x = x << 16 | ReadWord(&words[0]);
      }
    }
    return true;
  }

 private:
  const DenseTables& tables_;
};

}  // namespace
}  // namespace encke::simd
