// The passes that make a plan, in the order in which they run. Internal to engine/graph.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "engine/graph/plan.h"

namespace encke::internal {

// Exact rewrites of the graph that save memory. Idempotent: every plan of a graph after the first
// finds it as the first left it, so that plans made before stay valid.
void RewriteGraph(Graph* graph);

// The value whose bytes `value` shares: itself, or the input of a view (flatten).
int CanonicalValue(const Graph& graph, int value);

// Whether nobody but node `reader` reads the value.
bool OnlyReader(const Graph& graph, int value, int reader);

// By (canonical) value: whether a parameter lies before it, so that its gradient is wanted.
std::vector<bool> NeedsGradient(const Graph& graph);

// Which values backward reads, united over their readers, and how each is kept.
void ChooseSaved(const Graph& graph, Plan* plan);

// Ends of residual blocks in the graph, whatever is kept of them: relu(BN(x) + shortcut), of which
// nobody else reads what is between.
std::vector<BlockEnd> FindBlockEnds(const Graph& graph);

// A branch of a residual block with a batch norm at its end alone, which is added to another: the
// shortcut of a block that changes shape. Its nodes come from the sum back to `fork`, the value
// that other branches read, too. Put last in backward (Plan::late_branches), a gradient of `fork`
// need not be there while the longer branch is at work, but the sum's waits for that long.
struct ShortBranch {
  std::vector<int> nodes;
  int fork = -1;
};
// Those where `fork` is larger than the sum.
std::vector<ShortBranch> FindShortBranches(const Graph& graph);

// Whether a node reads the mask of its output, which is rebuilt from its input, off that input.
bool TellsFromInput(const Graph& graph, const SavedValue& saved, const SavedNeed& need);

// Whether the value's gradient is made from one other without convolving: by batch norm, ReLU,
// pooling and the like.
bool HasCheapGradient(const Graph& graph, int value);

// Values through which everything goes that comes before them: all that later nodes read is this
// one value. In order, without the network's input and what the loss makes.
std::vector<int> CutValues(const Graph& graph);

// What is done with a node, in order, and the section in which it is done.
struct Action {
  // FORWARD, BACKWARD and their GATHER_ and FINISH_; REBUILD and INPUT: to make slices of a value
  // again in forward.
  PlanStep::Kind kind;
  int node;
  int section;
  // BACKWARD: a later section does it once more; an earlier one did it, and this time it is for the
  // gradient of its input alone.
  bool runs_again = false, again = false;
};

// Saved values (indices into plan.saved) that the backward pass of node `n` reads. Where it runs
// `again`, without what only its weights' gradient reads.
std::vector<int> SavedReadBy(const Graph& graph, const Plan& plan, int n, bool again = false);
inline std::vector<int> SavedReadBy(const Graph& graph, const Plan& plan, const Action& action) {
  return SavedReadBy(graph, plan, action.node, action.again);
}

// The work of an iteration, cut into sections, and where each thing is needed.
class Schedule {
 public:
  Schedule(const Graph& graph, const Plan& plan);

  struct Section {
    int64_t samples;
    bool reversed;
  };
  const std::vector<Action>& actions() const { return actions_; }
  const std::vector<Section>& sections() const { return sections_; }

  // Whether a value, a node's states or a value's gradient exists for the whole batch, since
  // several sections write or read it; what one section alone needs exists for a slice at a time.
  bool WholeValue(int value) const { return whole_value_[value]; }
  bool WholeStates(int node) const { return of_states_[node].size() > 1; }
  bool WholeGradient(int value) const { return whole_gradient_[value]; }
  // Made slice by slice in two sections instead of being kept whole from one to the other.
  bool MadeAgain(int value) const { return made_again_.count(value) > 0; }
  // Whether the gradients of a node's parameters, much larger than what it works on, are added to
  // once for all slices; what it reads for that is whole.
  bool DefersParameters(int node) const { return defers_.count(node) > 0; }
  bool GradientMadeAgain(int value) const { return gradient_made_again_.count(value) > 0; }

 private:
  void ListActions();
  void CutSections();
  bool BeginsSection(size_t a) const;
  bool CutsBefore(size_t a, int64_t samples, const std::vector<int>& cuts) const;
  bool IsBorder(size_t a, const std::vector<int>& cuts) const;
  void FindUses();
  void UseKept(int value, int section, std::set<int>* seen);
  // Of the action; actions().size(): there is none.
  size_t Find(PlanStep::Kind kind, int node) const;
  // schedule_rewrites.cc
  void PutOffForward();
  void PutOffBackward();
  void RematerializeValues();
  void AddMaking(int value, int section, size_t use, std::vector<Action>* added);
  void RematerializeGradients();
  bool IsPooled(int value) const;
  void MakeGradientAgain(int value);
  void AddGradientMaking(int value, int section, std::vector<Action>* added);
  void MarkRepeated();
  bool OwnsGradient(int value) const;
  void DeferParameters();
  int64_t WorkingBytes(const Action& action) const;
  int64_t SamplesFor(int64_t working_bytes) const;

  const Graph& graph_;
  const Plan& plan_;
  std::vector<bool> needs_gradient_;
  std::vector<Action> actions_;
  std::vector<Section> sections_;
  std::vector<std::set<int>> of_value_, of_states_;
  std::vector<bool> whole_value_, whole_gradient_;
  std::set<int> made_again_, gradient_made_again_;  // values
  std::set<int> defers_;                            // nodes
};

// Which nodes' noise is measured, how much of it at a time, and who shares a turn.
// REQUIRES: ChooseSaved.
void ChooseProbes(const Graph& graph, Plan* plan);

// The input of a conv or fc layer as its weights see it: an fc layer takes all of a sample as
// channels.
Shape ProbedInput(const Graph& graph, int node);

// Adds to what is computed twice or later (plan.rematerialized and behind), as far as the options'
// budget goes, what stands highest where memory is fullest, in steps with at least `full` of the
// peak; whether there was anything. REQUIRES: `plan` is complete.
bool Rematerialize(const Graph& graph, double full, Plan* plan);

// Of an iteration's arithmetic, the share that goes into what is made twice.
double ShareMadeTwice(const Graph& graph, const Plan& plan);

// Takes bytes of the room, which is by step, from `first` to before `end`; where they are not
// there, nothing.
bool TakeRoom(int first, int end, int64_t bytes, std::vector<int64_t>* room);

// Saved values, some of which go together.
using ValueGroups = std::vector<std::vector<int>>;

// Saved values that are to stay as they are, though they would be encoded, as far as there is room,
// in bytes by step of `plan`, which is complete.
ValueGroups ChooseUncompressed(const Graph& graph, const Plan& plan, std::vector<int64_t> room);

// Has plan.uncompressed kept so, and what is made again from nothing else be exact.
// REQUIRES: ChooseSaved.
void LeaveUncompressed(const Graph& graph, Plan* plan);

// Saved values that may be decoded once, for the first section that reads them, and held whole
// until the last has, as far as there is room, in bytes by step of `plan`, which is complete.
ValueGroups ChooseDecodedOnce(const Graph& graph, const Plan& plan, std::vector<int64_t> room);

// Saved values, and how many of the batch's first samples are held of each.
using HeldSamples = std::vector<std::pair<int, int64_t>>;

// Of saved values that several sections read and that are not held whole, what may be held
// likewise, what is in plan.held_samples included. Only those of which more may be, the most worth
// first.
HeldSamples ChooseHeldSamples(const Graph& graph, const Plan& plan, std::vector<int64_t> room);

// Saved values that nodes read whose parameters' gradients are deferred: whole.
std::set<int> ReadForDeferred(const Graph& graph, const Plan& plan);

// Saved values whose tensors may linger, likewise.
ValueGroups ChooseLingering(const Plan& plan, std::vector<int64_t> room);

// Steps and buffers with their lifetimes.
void WriteProgram(const Graph& graph, Plan* plan);

// Lets steps do in one pass over memory what they did in several. Buffers and their lifetimes stay.
// REQUIRES: WriteProgram.
void FusePasses(const Graph& graph, Plan* plan);

// Adds the buffers that library calls need besides their tensors. REQUIRES: WriteProgram.
void PlanWorkspaces(Graph* graph, Backend* backend, Plan* plan);

// A buffer of the whole batch that is written first where another is read last, slice by slice: it
// may lie where that one has been read, behind it.
struct Trail {
  int read = -1, written = -1;  // buffers
  int below = -1, above = -1;   // the same: `written` is below unless the last slice goes first
  int64_t gap = 0;              // bytes from the beginning of `below` to that of `above`, at least
};
// REQUIRES: a whole buffer begins with the first step of the sliced section that takes it and ends
// with the last step of the one that drops it, as ProgramWriter has it.
std::vector<Trail> FindTrails(const Plan& plan);

// Sets shared_bytes and shared_until of the buffers that trail others. REQUIRES: offsets.
void BookTrails(const std::vector<Trail>& trails, Plan* plan);

// Offsets in the arena, in whichever of many orders lets arena and slabs take least together when
// the pool `shares` the arena, else largest first: each at the lowest place that is free during its
// lifetime (the "greedy by size" strategy of Pisarchyk & Lee, "Efficient Memory Management for Deep
// Neural Net Inference", 2020), where it may trail others or they it. The first order is that of
// `like`, if given, and the search ends with the first that takes no more than `enough`, if given,
// or when that is out of reach.
void PlaceBuffers(Plan* plan, bool shares, const Plan* like, std::optional<int64_t> enough);

// Searches on for longer, where the pool shares the arena. REQUIRES: PlaceBuffers.
void ImprovePlacement(Plan* plan);

// What stays in memory of a pool of so many bytes.
inline int64_t BytesInMemory(const PlanOptions& options, int64_t pool) {
  return options.spill_above > 0 ? std::min(pool, options.spill_above) : pool;
}

// Whether the pool forgets saved[step.saved], where it has it, after this step.
inline bool Releases(const PlanStep& step) {
  using Kind = PlanStep::Kind;
  return (step.kind == Kind::FETCH || step.kind == Kind::DERIVE) && step.release;
}

// By step: bytes of all buffers that hold something.
std::vector<int64_t> BytesAlive(const Plan& plan);

// Whether a value goes to slabs of the pool, or to the arena in place of them.
bool IsPooled(const SavedValue& saved);

// How far the arena is occupied while each value is in the pool. REQUIRES: PlaceBuffers.
void ShareArena(Plan* plan);

// The most bytes of the pool for which the arena has no room, what it needs free to encode
// included. As predicted, were sections not sliced.
int64_t PredictSlabs(const Plan& plan);

// By step: what the pool holds of memory, within a sliced section at its fullest moment.
std::vector<int64_t> PooledBytes(const Plan& plan);

// Bytes that are held from the first step to the last, beside arena and pool.
int64_t HeldThroughout(const Graph& graph, const Plan& plan);

// Memory in use at each step, and so the peak.
void PredictPeak(const Graph& graph, Plan* plan);

}  // namespace encke::internal
