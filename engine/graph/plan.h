// The plan: everything about memory that is known before the first step. What is saved and how,
// when each tensor is born and dies, where in the arena it lives, and so what the peak will be.
//
// A plan is a program. Its steps (forward of a node, keep a value, fetch a value, backward of a
// node, ...) name buffers; buffers have a lifetime, counted in steps, and an offset in the arena
// chosen so that lifetimes that meet do not overlap in space, unless one buffer trails the other
// (plan_trails.cc). The executor is its interpreter.
//
// The steps are divided into sections. A section's steps are run for a slice of the batch, then
// again for the next slice, until the batch is through: what only lives inside a section exists
// for one slice at a time. Where samples meet (batch norm), the section ends, and the next one
// begins when all slices have arrived. A plan that does not slice has one section.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "compression/activation_store.h"
#include "engine/core/memory.h"
#include "engine/graph/graph.h"

namespace encke {

// What saved values are told apart by when it comes to how they are kept.
enum class SavedKind {
  RELU,        // its sign must survive
  NORM_INPUT,  // of a batch norm
  VALUE,       // all others
};
inline constexpr int kSavedKinds = 3;
const char* NameOf(SavedKind kind);  // "relu", ...

// How values of one kind are kept when compressing.
struct SavedPolicy {
  std::string codec = "fast";
  Tier tier = Tier::MEMORY;
  bool adaptive = false;  // `codec` is dense; where the pool has room for it, fast (CodecChoice)

  bool operator==(const SavedPolicy& other) const {
    return codec == other.codec && tier == other.tier && adaptive == other.adaptive;
  }
};

// For a codec as configs name it, "auto" or one of CodecNames(); and back.
SavedPolicy PolicyOf(const std::string& codec, Tier tier = Tier::MEMORY);
std::string NameOf(const SavedPolicy& policy);

// Assumed before anything is measured: raw over stored bytes of codec fast in a run's first
// iterations, which set the peak, and how many times that is with codec dense.
inline constexpr double kFastRatio = 11.0, kDenseOverFast = 1.3;

// Of a memory limit, what may be used to save time: predictions err by up to a tenth.
inline constexpr double kSpentOfLimit = 0.9;

struct PlanOptions {
  bool compress = true;                           // false: all tensors stay as they are
  std::array<SavedPolicy, kSavedKinds> policies;  // by SavedKind
  // Exact in place of lossy: the network is cut into about so many segments, of which only what
  // goes in is kept (lossless); backward runs a segment forward again when it comes to it (Chen et
  // al., "Training Deep Nets with Sublinear Memory Cost", 2016). 0: no.
  int recompute_segments = 0;
  int64_t spill_above = 0;  // bytes of the pool that stay in memory, the rest is offloaded; 0 = all
  // Without compression: whether what need not be kept is left out all the same (masks and 8-bit
  // images in place of values, packed indices, a max pool before its ReLU; exact). Otherwise what
  // frameworks save is saved.
  bool eliminate_raw = false;
  bool eliminates() const { return compress || eliminate_raw; }
  // Bytes that the tensors of one layer may take in a slice: the fewer, the smaller the slices.
  // 0: the batch is not sliced.
  int64_t slice_bytes = 0;
  int64_t least_slice = 1;  // samples; smaller ones do not pay
  // Under a memory limit, larger slices than that come first, as long as they fit.
  bool larger_slices = false;
  // Share of an iteration's arithmetic that may be spent on computing large inputs of batch norms a
  // second time, slice by slice, instead of holding them for the whole batch until its statistics
  // are known; gradients of their outputs likewise. 0: none, and a block's branches in backward in
  // the order of the graph (late_branches). Where nothing is sliced there is nothing to do.
  double rematerialize = 0.05;
  bool save_time = true;  // with what is free beside the peak; false: only the peak is of interest
  // Bytes of memory in all, of which kSpentOfLimit may be used to save time: values stay as they
  // are that would be encoded, or are decoded fewer times. 0: only what is free beside the peak
  // may, and for the latter. Whether the plan fits is for the caller to see.
  int64_t memory_limit = 0;
  // Whether the input of a batch norm that ends a residual block is made from what the block makes
  // (BlockEnd), where that loses little.
  bool derive = true;
  DType compute = DType::F32;
  bool training = true;  // false: an evaluation program, nothing saved
  // Bytes as floats over stored bytes of the lossy values together, whatever `compute` is: a
  // prediction before anything was measured.
  double assumed_ratio = kFastRatio;
  double optimizer_copies =
      1.0;                   // optimizer state over trained parameters (momentum 1, with EMA 2)
  bool probe = true;         // measure the noise in weight gradients, a few channels at a time
  int64_t batches_held = 6;  // 8-bit batches that loader and trainer hold at once
};

// How a saved value is kept.
enum class Keep {
  RAW,      // as it is, in the arena
  CODEC,    // encoded with an error bound
  MASK,     // one bit an element
  IMAGE,    // not at all: made again from the 8-bit batch
  REBUILD,  // not at all: its node runs again
  DERIVE,   // not at all, as long as it can be made from a block's output and shortcut; else CODEC
};
const char* NameOf(Keep keep);

struct SavedValue {
  int value = -1;
  Keep keep = Keep::RAW;
  std::string codec;                    // CODEC
  bool adaptive = false;                // likewise, as SavedPolicy has it
  Tier tier = Tier::MEMORY;             // IN_PLACE: RAW
  bool mask = false;                    // the sign must survive
  std::vector<int> gradient_consumers;  // nodes whose weight gradient reads it (WEIGHT_GRADIENT)
  int norm_consumer = -1;               // node whose state 1 holds 1 / std (CHANNEL_STD)
  // Of a batch norm with a ReLU behind it: which side of the ReLU an element is on survives, and
  // only what the ReLU passes needs a tight bound.
  bool sides = false;
  std::vector<int> serves;       // values that are rebuilt from this one, whose bounds it must meet
  int block_end = -1;            // into Plan::block_ends: of which it is the `input` or the `sum`
  std::vector<int> shortcut_of;  // block ends whose shortcut it is, or that is rebuilt from it
  bool rms = false;              // VALUE_RMS
  bool exact = false;            // EXACT: a bound of 0
  int64_t raw_bytes = 0;         // 0: another value, of the same size, is kept in its place
  int64_t predicted_bytes = 0;   // stored
  int64_t room_bytes = 0;        // that the pool needs beyond them while a slice of it is encoded
  // Bytes of the arena's lower end that are occupied some time while the value is in the pool; the
  // rest is free for it. -1: it keeps out of the arena.
  int64_t floor = -1;

  bool encoded() const { return keep == Keep::CODEC || keep == Keep::DERIVE; }  // or may be
  // Whether backward may read something else than forward made.
  bool lossy() const { return encoded() || keep == Keep::REBUILD; }
};

// The end of a residual block, output = relu(sum), sum = BN(input) + shortcut. What is kept is the
// sum, with two bounds (SavedValue::sides): the output follows from it, and the input from it and
// the shortcut, which other readers need anyway.
struct BlockEnd {
  int norm = -1, add = -1, relu = -1;                    // nodes
  int input = -1, shortcut = -1, sum = -1, output = -1;  // values
};

SavedKind KindOf(const SavedValue& saved);

// A layer's own tensor that backward reads. U8 ones with few bits are packed when compressing.
struct SavedState {
  int node = -1;
  int index = 0;
  int bits = 0;  // an element, 0: kept as it is
  int64_t raw_bytes = 0;
  int64_t predicted_bytes = 0;
};

constexpr int64_t kRepeatedBytes = 8;  // Backend::FindRepeatedPixel

// What measuring the noise in one node's weight gradient takes. In its turn, a copy of some input
// channels of a saved value is kept exact, and their part of the weight gradient computed twice.
struct PlannedProbe {
  int node = -1;
  int saved = -1;
  int64_t channels = 1;        // copied, of each of the convolution's groups
  int64_t group_channels = 1;  // that a group has; consecutive visits go through all of them
  int64_t turn = 0;            // probes of one turn are made in the same iteration
  int64_t offset = 0;          // bytes at which the copy lies in the probes' memory, whole batch
  int64_t copy_bytes = 0;
  int64_t gradient_offset = 0;  // likewise the channels' part of the weight gradient, twice
  int64_t gradient_bytes = 0;   // of one
  int64_t pattern_offset = 0;   // what patterns in the error give (noise_patterns.h)
  int64_t pattern_bytes = 0;    // of one
  int64_t repeated_offset = 0;  // kRepeatedBytes: which pixels repeat one another
};

// A place in the arena.
struct PlannedBuffer {
  int64_t bytes = 0;
  int64_t offset = 0;
  int64_t sample_bytes = 0;  // 0: it does not hold samples
  bool whole = false;        // holds the samples of the whole batch, else those of a slice
  // Of one that is not whole: so many of the batch's first samples have places of their own, which
  // they keep from slice to slice and section to section; behind these is room for a slice.
  int64_t held = 0;
  bool spares_time = false;  // larger than a slice only since there is room (Plan::decoded_once)
  int first = 0, last = 0;   // steps between which it holds something, both included
  int rank = 0;              // in the order in which buffers were placed
  // Bytes that until step `shared_until` belong to other buffers as well, which are read to their
  // end there while this one is written behind: counted as theirs.
  int64_t shared_bytes = 0;
  int shared_until = -1;
  MemoryCategory category = MemoryCategory::TRANSIENT;
  std::string what;  // "layer1.0.conv1", for people
};

struct PlanStep {
  enum class Kind {
    INPUT,            // normalise the batch into `buffer`
    FORWARD,          // run `node`
    GATHER_FORWARD,   // let `node` add up what it wants to know of the batch (Layer::Gathers)
    FINISH_FORWARD,   // once, when all slices are there
    STORE,            // put saved[saved], now in `buffer`, into the pool
    STORE_MASK,       // bits of `other` > 0 into `buffer`
    PACK,             // states[saved] from `other` into `buffer`
    UNPACK,           // and back
    PREFETCH,         // a FETCH of the same will follow
    FETCH,            // get saved[saved] out of the pool into `buffer`
    DERIVE,           // make saved[saved] from `inputs`, a block's sum and shortcut, or get it
    REBUILD,          // run `node` forward once more
    BACKWARD,         // run `node`
    GATHER_BACKWARD,  // as in forward
    FINISH_BACKWARD,
    BACKWARD_PARAMETERS,  // run `node` for its parameters, with all slices, when the last one is
                          // there
    ADD_GRADIENTS,        // buffer = inputs[0] + inputs[1]
  };
  Kind kind = Kind::FORWARD;
  int node = -1;
  int saved = -1;
  int buffer = -1;
  int other = -1;
  int workspace = -1;      // buffer for the scratch of library calls
  int value = -1;          // whose shape the buffers have (INPUT, STORE_MASK, FETCH, ADD_GRADIENTS)
  bool release = false;    // FETCH, DERIVE: the last one, the pool may forget the samples
  bool rest = false;       // PREFETCH, FETCH: not those that the buffer holds, they are there
  int only_for = -1;       // done only where this block end's input is derived; -1: always
  bool parameters = true;  // BACKWARD: their gradients, too; else BACKWARD_PARAMETERS follows
  bool again = false;  // BACKWARD: was run in an earlier section; for the input's gradient alone
  // What the step does in the same pass over memory for later ones, which are `fused`
  // (plan_fusion.cc). FORWARD: adds `addend` (-1: nothing) and takes the ReLU, into `result` in
  // place of outputs[0]. ADD_GRADIENTS: lets through what the ReLU did whose output `gate` is.
  int addend = -1, gate = -1, result = -1;  // buffers
  bool relu = false;
  bool fused = false;
  // FORWARD, BACKWARD: buffers of the tensors that the layer sees, -1 where it gets none.
  std::vector<int> inputs, outputs, output_masks, states, output_gradients, input_gradients;
};

// Whether the buffer holds samples of other slices than the one at work.
inline bool SpansSlices(const PlannedBuffer& buffer) { return buffer.whole || buffer.held > 0; }

// Whether the step is run once, for the whole batch, when the slices of its section are through.
inline bool TakesWholeBatch(const PlanStep& step) {
  return step.kind == PlanStep::Kind::BACKWARD_PARAMETERS;
}

// Steps that are run slice by slice.
struct PlanSection {
  int first = 0, end = 0;  // steps
  int64_t samples = 0;     // of a slice, the last one may have fewer
  // The last slice goes first. Sections take turns in that, so that tensors of the whole batch,
  // each behind the one before (plan_trails.cc), need not wander through the arena.
  bool reversed = false;
};

struct PeakPrediction {
  MemoryUse
      use;  // at the moment with the most in use, UNUSED set so that the total is what is held
  int step = 0;
  std::string where;  // the step, for people
};

struct Plan {
  int64_t batch = 0;
  PlanOptions options;
  // Whether what a node's backward reads of the pool is decoded while the node before it, in the
  // same section, is at work, at the cost of its memory for so long: for pools that work aside.
  bool prefetch = false;
  std::vector<PlanStep> steps;
  std::vector<PlanSection> sections;
  std::set<int> rematerialized;            // values
  std::set<int> rematerialized_gradients;  // values whose gradients are
  std::set<int> late_branches;             // batch norms whose branch comes last in backward
  std::set<int> uncompressed;  // into `saved`: Keep::RAW in place of CODEC, as there is room
  std::set<int> decoded_once;  // into `saved`: held whole from the first section that reads it on
  std::map<int, int64_t> held_samples;  // the same, for so many of the batch's first samples only
  // Into `saved`: their tensors stay, not overwritten by the last reader in forward, until the node
  // behind it has been issued, so that the computation goes on while they are encoded. For pools
  // that work aside, where there is memory for it.
  std::set<int> lingering;
  int backward_begin = 0;  // the first step that is not forward's
  std::vector<PlannedBuffer> buffers;
  std::vector<SavedValue> saved;
  std::vector<SavedState> states;
  std::vector<BlockEnd> block_ends;
  std::vector<PlannedProbe> probes;
  int64_t probe_turns = 0;                   // they take turns
  int64_t probe_bytes = 0;                   // memory that the turns share, held all the time
  int logits_buffer = -1, loss_buffer = -1;  // alive after the last step
  int64_t arena_bytes = 0;
  int64_t pool_scratch_bytes = 0;  // WORKSPACE
  int64_t pool_bytes = 0;          // of the pool's own memory at the most, as predicted
  PeakPrediction peak;
  std::vector<int64_t> predicted_in_use;  // bytes, by step
  std::vector<std::string> rejected;  // by ChoosePlan, for people: the best so far, time and again

  int64_t raw_saved_bytes()
      const;  // what the saved values would take uncompressed, states included
  int64_t predicted_saved_bytes() const;      // wherever they are
  int64_t predicted_offloaded_bytes() const;  // of these, at the end of forward
  int64_t smallest_slice() const;             // samples; `batch` where nothing is sliced
};

// Sets the graph's shapes to this batch and, when compressing, rewrites it where that is exact and
// saves memory: a max pool that alone reads a ReLU changes places with it (max is monotone), so
// that only the pool's index and the pooled output are kept.
Plan MakePlan(Graph& graph, Backend& backend, int64_t batch, const PlanOptions& options);

}  // namespace encke
