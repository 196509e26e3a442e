// What an iteration held at each of its steps: the memory peak's place in the network, and how far
// the plan's prediction was from it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/core/memory.h"
#include "engine/graph/graph.h"
#include "engine/graph/plan.h"

namespace encke {

// "forward", "store", ...: what a step does, in a word.
const char* NameOf(PlanStep::Kind kind);

// The layer or value that a step works on.
std::string SubjectOf(const Graph& graph, const Plan& plan, const PlanStep& step);

// Written by the executor while a plan's program runs.
class MemoryTrace {
 public:
  // Forgets the iteration before.
  void Start(int64_t iteration, size_t steps);
  // The step holds `use` at some moment; of several moments the one with the most in use counts.
  void Note(int step, const MemoryUse& use);

  int64_t iteration() const { return iteration_; }  // 0: nothing was traced yet
  // By step of the plan. Steps that were not run (the loss was not finite) hold nothing.
  const std::vector<MemoryUse>& steps() const { return steps_; }

 private:
  int64_t iteration_ = 0;
  std::vector<MemoryUse> steps_;
};

}  // namespace encke
