// Picks the kernels for the CPU at hand.
#pragma once

#include <vector>

#include "compression/simd/kernels.h"

namespace encke::simd {

// Those that this CPU can run, slowest (the reference) first.
std::vector<const Kernels*> UsableKernels();
// The fastest of them.
const Kernels& BestKernels();

}  // namespace encke::simd
