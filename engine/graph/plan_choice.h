// Which plan to take under a memory limit.
#pragma once

#include <string>
#include <vector>

#include "engine/graph/plan.h"

namespace encke {

// Ways to train within the same bounds, the cheapest in time first: as asked for; in smaller and
// smaller slices; with the denser codec; with more inputs of batch norms made twice; with saved
// values offloaded; with nothing saved but the inputs of some segments, which are computed again.
std::vector<PlanOptions> PlanAlternatives(const PlanOptions& options);

// The first alternative whose predicted peak stays within `limit` bytes (0: no limit), or, when
// none does, the one with the lowest peak. Plan::rejected says what was too large.
Plan ChoosePlan(Graph& graph, Backend& backend, int64_t batch, const PlanOptions& options,
                int64_t limit);

// Error(MEMORY) when the plan, chosen for `options`, needs more than `limit` (0: no limit), with
// the largest batch that would fit. `place` of the limit in the config, or "".
void RequireFits(Graph& graph, Backend& backend, const Plan& plan, const PlanOptions& options,
                 int64_t limit, const std::string& place);

// "slices of 4 and more samples, codec dense, 3 inputs of batch norms made twice, 12 saved values
// decoded once, saved values offloaded"
std::string DescribeChoice(const Plan& plan);

}  // namespace encke
