// Which plan to take under a memory limit.
#pragma once

#include <string>
#include <vector>

#include "engine/graph/plan.h"

namespace encke {

// Ways to train within the same bounds, the cheapest in time first: as asked for; in smaller and
// smaller slices; with the denser codec (before that, where larger slices are faster); with more
// tensors made twice; with saved values offloaded; with nothing saved but the inputs of some
// segments, which are computed again.
std::vector<PlanOptions> PlanAlternatives(const PlanOptions& options);

// Without a limit (0) the plan of `options`, which takes little memory. With a `limit` in bytes the
// first that stays within it of: as asked for but with nothing made twice, and the alternatives;
// when none does, the one with the lowest peak. Plan::rejected says what was too large. What the
// limit leaves free beside the peak, less a tenth of the limit, is used to save time: values stay
// as they are, or are decoded once.
Plan ChoosePlan(Graph& graph, Backend& backend, int64_t batch, const PlanOptions& options,
                int64_t limit);

// The largest batch for which one of the alternatives stays within `bytes`; 0 when not even one
// sample does.
int64_t LargestBatch(Graph& graph, Backend& backend, int64_t bytes, const PlanOptions& options);

// Error(MEMORY) when the plan, chosen for `options`, needs more than `limit` (0: than the device
// has), with the largest batch that would fit. `place` of the limit in the config, or "".
void RequireFits(Graph& graph, Backend& backend, const Plan& plan, const PlanOptions& options,
                 int64_t limit, const std::string& place);

// "slices of 4 and more samples, codec dense, 3 inputs and gradients of batch norms made twice, 12
// saved values decoded once, saved values offloaded"
std::string DescribeChoice(const Plan& plan);

}  // namespace encke
