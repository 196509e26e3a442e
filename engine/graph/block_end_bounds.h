// Whether the input of a batch norm that ends a residual block is derived from the block's sum and
// shortcut, xh = (sum - shortcut - beta) / gamma, and how exact those must be for it. Internal to
// engine/graph; the reasoning is in doc/error-propagation.md.
#pragma once

#include <string>
#include <vector>

#include "compression/codec.h"

namespace encke {

// What weight gradients ask of the two as bounds; 0 where nothing is known yet.
struct BlockEndAsked {
  double sum = 0, shortcut = 0;
};

struct Derivation {
  bool derived = false;
  std::vector<float> gamma;  // by channel
  // By channel: the most that the sum and the shortcut may each be wrong; empty: not derived.
  std::vector<float> limits;
  // Bits that an element of both together takes more because of that, mean over channels.
  double extra_bits = 0;
  std::string reason;  // for people
};

// `fraction`: of its channel's standard deviation that an input of a batch norm may be wrong by,
// in the sense of noise: each of the two gets 1 / sqrt(2) of it.
Derivation ChooseDerivation(std::vector<float> gamma, double fraction, const BlockEndAsked& asked);

// The least of both, channel by channel; an empty list limits nothing.
void Tighten(const std::vector<float>& limits, std::vector<float>* bounds);

// Of the sum: `bounds` where the block's ReLU passes it, `inactive_fraction` of gamma where it does
// not; not derived, all that comes back of the latter is that the ReLU stops it.
CodecOptions SumBounds(std::vector<float> bounds, const Derivation& derivation,
                       double inactive_fraction);

}  // namespace encke
