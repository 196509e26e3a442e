// The plan: everything about memory that is known before the first step. What is saved and how,
// when each tensor is born and dies, where in the arena it lives, and so what the peak will be.
//
// A plan is a program. Its steps (forward of a node, keep a value, fetch a value, backward of a
// node, ...) name buffers; buffers have a lifetime, counted in steps, and an offset in the arena
// chosen so that lifetimes that meet do not overlap in space. The executor is its interpreter.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/core/memory.h"
#include "engine/graph/graph.h"

namespace encke {

struct PlanOptions {
  bool compress = true;  // false: the RAW pool keeps tensors as they are
  std::string codec = "fast";
  DType compute = DType::F32;
  double assumed_ratio =
      8.0;  // raw / stored of lossy values, for the predicted peak before anything was measured
  bool training = true;  // false: an evaluation program, nothing saved
  double optimizer_copies =
      1.0;  // optimizer state, as a multiple of the trained parameters (momentum 1, with EMA 2)
};

// How a saved value is kept.
enum class Keep {
  RAW,    // as it is
  CODEC,  // encoded with an error bound
  MASK,   // one bit an element
  IMAGE,  // not at all: made again from the 8-bit batch
};

struct SavedValue {
  int value = -1;
  Keep keep = Keep::RAW;
  bool mask = false;                    // the sign must survive
  BoundRule rule = BoundRule::EXACT;    // EXACT with Keep::CODEC: bound 0
  std::vector<int> gradient_consumers;  // nodes whose weight gradient reads it
  int norm_consumer = -1;               // CHANNEL_STD: the node whose state holds 1 / std
  int64_t raw_bytes = 0;
  int64_t predicted_bytes = 0;
};

struct PlannedBuffer {
  int64_t bytes = 0;
  int64_t offset = 0;
  int first = 0, last = 0;  // steps
  MemoryCategory category = MemoryCategory::TRANSIENT;
  std::string what;  // "layer1.0.conv1 output", for people
};

struct PlanStep {
  enum class Kind {
    INPUT,          // normalise the batch into buffer 0 of `value`
    FORWARD,        // node
    STORE,          // saved[index]: put buffer `buffer` in the pool
    FETCH,          // saved[index]: get it back, into `buffer` where it is not kept as it is
    BACKWARD,       // node
    ADD_GRADIENTS,  // buffer += other
  };
  Kind kind = Kind::FORWARD;
  int node = -1;
  int saved = -1;
  int buffer = -1;
  int other = -1;
  // FORWARD, BACKWARD: buffers of the tensors the layer sees, -1 where it gets none.
  std::vector<int> inputs, outputs, state, output_gradients, input_gradients;
  std::vector<int> output_masks;
  std::vector<int> release;  // entries of `saved` that nobody reads after this step
};

struct PeakPrediction {
  MemoryUse
      use;  // at the moment with the most in use, UNUSED set so that the total is what is held
  std::string where;  // the step
};

struct Plan {
  int64_t batch = 0;
  PlanOptions options;
  std::vector<PlanStep> steps;
  std::vector<PlannedBuffer> buffers;
  std::vector<SavedValue> saved;
  int64_t arena_bytes = 0;
  int64_t workspace_bytes = 0;
  PeakPrediction peak;

  int64_t raw_saved_bytes()
      const;  // what the saved values would take uncompressed, states included
  int64_t predicted_saved_bytes() const;
};

// REQUIRES: graph.InferShapes(batch) can be called. Sets the graph's shapes to this batch.
Plan MakePlan(Graph& graph, Backend& backend, int64_t batch, const PlanOptions& options);

// The largest batch whose predicted peak stays within `bytes`; 0 when not even one sample does.
int64_t LargestBatch(Graph& graph, Backend& backend, int64_t bytes, const PlanOptions& options);

}  // namespace encke
