// The passes that make a plan, in the order in which they run. Internal to engine/graph.
#pragma once

#include <vector>

#include "engine/graph/plan.h"

namespace encke::internal {

// Exact rewrites of the graph that save memory. Idempotent: every plan of a graph after the first
// finds it as the first left it, so that plans made before stay valid.
void RewriteGraph(Graph* graph);

// The value whose bytes `value` shares: itself, or the input of a view (flatten).
int CanonicalValue(const Graph& graph, int value);

// Which values backward reads, united over their readers, and how each is kept.
void ChooseSaved(const Graph& graph, Plan* plan);

// Steps and buffers with their lifetimes.
void WriteProgram(const Graph& graph, Plan* plan);

// Offsets in the arena: largest first, each at the lowest place that is free during its lifetime
// (the "greedy by size" strategy of Pisarchyk & Lee, "Efficient Memory Management for Deep Neural
// Net Inference", 2020).
void PlaceBuffers(Plan* plan);

// Memory in use at each step, and so the peak.
void PredictPeak(const Graph& graph, Plan* plan);

}  // namespace encke::internal
