// Writes a plan's program by going through one iteration with reference-counted buffers: a buffer
// is taken when a step first writes it and given back after the last step that reads it. What
// remains are lifetimes. A buffer of the whole batch, or part of it, that a sliced section touches
// lives from the section's beginning or to its end, since every slice comes by. Internal to
// engine/graph.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "engine/graph/plan_internal.h"

namespace encke::internal {

class ProgramWriter {
 public:
  ProgramWriter(const Graph& graph, Plan* plan);
  void Write();

 private:
  using Kind = PlanStep::Kind;

  // --- buffers
  int Take(PlannedBuffer buffer);
  // Of the whole batch or of a slice; REQUIRES: `sample_bytes` > 0.
  int TakeSamples(int64_t sample_bytes, bool whole, MemoryCategory category,
                  const std::string& what);
  int TakeValue(int value, bool whole, const std::string& suffix = "");
  void Hold(int buffer) { ++references_[buffer]; }
  void Drop(int buffer);
  bool Exclusive(int buffer) const { return references_[buffer] == 1; }
  bool Suits(int buffer, bool whole) const { return plan_->buffers[buffer].whole || !whole; }
  int64_t SampleBytes(int value) const;

  // --- steps and sections
  // What is written while a derivation is prepared is for it alone.
  void Emit(PlanStep step) {
    step.only_for = deriving_;
    plan_->steps.push_back(std::move(step));
  }
  int Now() const { return static_cast<int>(plan_->steps.size()); }
  void Open(int section);
  void Close();
  bool Sliced() const { return plan_->sections.back().samples < plan_->batch; }
  void Write(const Action& action);

  // --- forward
  void ForwardInput();
  void ForwardAgain(const Action& action);
  void Forward(const Action& action);
  int InPlaceInput(int n) const;
  bool CanWorkInPlace(int n, int input) const;
  void MakeOutputs(int n, int in_place, PlanStep* step);
  void MakeStates(const Action& action);
  std::vector<int> ForwardStates(const Action& action) const;
  void TakeState(int n, int index, const StateSpec& spec);
  void KeepStates(int n);
  void FinishUse(int value, bool stored);
  bool Lingers(int value) const;
  void DropLingering();
  void Store(int value);
  void StoreMask(const SavedValue& saved, PlanStep step);

  // --- backward
  void Backward(const Action& action);
  void BackwardNode(const Action& action);
  void FetchFor(const Action& action, PlanStep* step);
  void PrefetchFor(const Action& action);
  void Prefetch(int saved);
  void PrefetchDerived(int block_end);
  void Fetch(int saved);
  void MakeUnconditional(int saved);
  void FetchKept(int saved);
  void EmitFetch(PlanStep step);
  int Derive(int saved);
  int TakeDecoded(int s, const std::string& suffix);
  bool WantedWhole(int saved) const;
  bool DecodedOnce(int saved) const { return plan_->decoded_once.count(saved) > 0; }
  int64_t HeldSamples(int saved) const;
  bool IsHeld(int saved) const;
  int64_t LargestSlice(int saved) const;
  int Rebuild(int value);
  int RebuildInput(int value);
  void RunAgain(int n, std::vector<int> inputs, int output);
  void UseSaved(int saved);
  void GiveStates(int n, bool last, PlanStep* step);
  void DropStates(int n, const PlanStep& step);
  void DropUnpacked(int n, const PlanStep& step);
  int InputGradient(int n, int input, bool stays);
  void AddGradient(int value, int buffer);
  void CountUses();
  bool Available(int value) const;  // fetched or rebuilt in one piece
  void ListSources(int value, std::vector<int>* saved) const;

  const Graph& graph_;
  Plan* plan_;
  const Schedule schedule_;
  const int logits_;
  int section_ = -1;
  std::vector<int> references_;    // of each buffer
  std::vector<int> dying_;         // buffers that span slices and end with this section
  std::vector<int> value_buffer_;  // where a value is now, -1: nowhere
  std::vector<int> forward_uses_;  // left, of a canonical value
  std::vector<int> lingering_;     // buffers held until the next node is issued
  std::map<std::pair<int, int>, int> section_uses_;  // left of (section, value made again)
  std::vector<int> saved_of_;                        // of a value, -1: not saved
  std::vector<int> saved_buffer_;  // what backward reads of a saved value, -1: not at hand
  std::vector<bool> fetched_;  // by saved value: at hand, for this section or, decoded once, more
  std::vector<std::pair<int, int>> fetching_;  // by saved value: the steps, begin and end
  std::vector<int> prefetched_;                // by saved value: its buffer, -1: not under way
  const Action* next_ = nullptr;               // what is written after this action; null: nothing
  int deriving_ = -1;                          // the block end for which steps are written
  std::vector<std::vector<int>> uses_;         // left in backward, by section and saved value
  std::vector<int> last_section_;              // that reads a saved value, -1: none
  std::map<std::pair<int, int>, int> state_buffer_;  // (node, index)
  std::map<std::pair<int, int>, int> state_of_;      // (node, index) -> plan->states
  std::vector<int> gradient_;                        // of a canonical value, -1: none yet
  std::vector<bool> needs_gradient_;
};

}  // namespace encke::internal
