// The backward pass: how saved values come back, where gradients go.
#include <algorithm>
#include <utility>

#include "engine/core/error.h"
#include "engine/graph/program_writer.h"

namespace encke::internal {

// What each section reads of the saved values: directly, or to rebuild others.
void ProgramWriter::CountUses() {
  uses_.assign(schedule_.sections().size(), std::vector<int>(plan_->saved.size(), 0));
  for (const Action& action : schedule_.actions()) {
    if (action.kind != Kind::BACKWARD && action.kind != Kind::GATHER_BACKWARD) continue;
    for (int s : SavedReadBy(graph_, *plan_, action)) ++uses_[action.section][s];
  }
  for (size_t section = 0; section < uses_.size(); ++section) {
    std::vector<int>& uses = uses_[section];
    for (size_t s = 0; s < uses.size(); ++s) {
      const SavedValue& saved = plan_->saved[s];
      if (uses[s] == 0 || saved.keep != Keep::DERIVE) continue;
      if (DecodedOnce(static_cast<int>(s)) && last_section_[s] >= 0) continue;  // still there
      const BlockEnd& end = plan_->block_ends[saved.block_end];
      ++uses[saved_of_[end.sum]];
      ++uses[saved_of_[end.shortcut]];
    }
    for (int s = static_cast<int>(uses.size()) - 1; s >= 0; --s) {
      if (uses[s] == 0) continue;
      last_section_[s] = static_cast<int>(section);
      if (plan_->saved[s].keep != Keep::REBUILD) continue;
      std::vector<int> sources;
      ListSources(plan_->saved[s].value, &sources);
      for (int source : sources) ++uses[source];
    }
  }
}

bool ProgramWriter::Available(int value) const {
  const int s = saved_of_[value];
  return s >= 0 && plan_->saved[s].keep != Keep::MASK;
}

// The saved values from which `value` is computed again, once for each time one is read.
void ProgramWriter::ListSources(int value, std::vector<int>* saved) const {
  for (int edge : graph_.nodes[graph_.values[value].producer].inputs) {
    const int input = CanonicalValue(graph_, edge);
    if (Available(input)) {
      saved->push_back(saved_of_[input]);
    } else if (input != 0) {
      ListSources(input, saved);
    }
  }
}

void ProgramWriter::Backward(const Action& action) {
  if (action.kind != Kind::FINISH_BACKWARD) return BackwardNode(action);
  PlanStep step;
  step.kind = action.kind;
  step.node = action.node;
  GiveStates(action.node, true, &step);
  Emit(step);
}

void ProgramWriter::BackwardNode(const Action& action) {
  const int n = action.node;
  const Node& node = graph_.nodes[n];
  PlanStep step;
  step.kind = action.kind;
  step.node = n;
  if (action.kind == Kind::GATHER_BACKWARD) {
    const std::vector<StateSpec> specs = node.layer->States();
    for (size_t i = 0; i < specs.size(); ++i) {
      if (specs[i].scratch) TakeState(n, static_cast<int>(i), specs[i]);
    }
  }
  step.again = action.again;
  FetchFor(action, &step);
  if (plan_->prefetch && next_ != nullptr) PrefetchFor(*next_);
  GiveStates(n, !action.runs_again, &step);
  const bool loss = node.layer->IsLoss();
  const int output = node.outputs[0];
  step.output_gradients.assign(node.outputs.size(), -1);
  if (!loss) {
    ENCKE_CHECK(gradient_[output] >= 0, node.name);
    step.output_gradients[0] = gradient_[output];
  }
  if (action.kind == Kind::GATHER_BACKWARD) {
    Emit(step);
    if (schedule_.GradientMadeAgain(output)) {
      Drop(gradient_[output]);
      gradient_[output] = -1;
    }
  } else {
    // The gradient of the output, for when this runs again.
    const bool stays = action.runs_again && !schedule_.GradientMadeAgain(output);
    std::vector<int> made;
    bool computes = !node.parameters.empty();
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      made.push_back(InputGradient(n, static_cast<int>(i), stays));
      const bool computed = node.layer->Flow(static_cast<int>(i)) != GradientFlow::IDENTITY;
      step.input_gradients.push_back(computed ? made.back() : -1);
      computes = computes || (computed && made.back() >= 0);
    }
    step.parameters = !action.again && !schedule_.DefersParameters(n);
    if (computes) Emit(step);
    if (!step.parameters && !action.again) {
      PlanStep rest = step;
      rest.kind = Kind::BACKWARD_PARAMETERS;
      rest.input_gradients.assign(node.inputs.size(), -1);
      Emit(rest);
    }
    if (!loss && !stays) {
      Drop(gradient_[output]);
      gradient_[output] = -1;
    }
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (made[i] >= 0) AddGradient(CanonicalValue(graph_, node.inputs[i]), made[i]);
    }
    if (action.runs_again) {
      DropUnpacked(n, step);
    } else {
      DropStates(n, step);
    }
  }
  for (int s : SavedReadBy(graph_, *plan_, action)) UseSaved(s);
}

void ProgramWriter::FetchFor(const Action& action, PlanStep* step) {
  const Node& node = graph_.nodes[action.node];
  const std::vector<int> read = SavedReadBy(graph_, *plan_, action);
  for (int s : read) Fetch(s);
  step->inputs.assign(node.inputs.size(), -1);
  step->outputs.assign(node.outputs.size(), -1);
  step->output_masks.assign(node.outputs.size(), -1);
  for (const SavedNeed& need : node.layer->SavedNeeds()) {
    const bool input = need.of == SavedNeed::Of::INPUT;
    const int edge = input ? node.inputs[need.index] : node.outputs[need.index];
    const int s = saved_of_[CanonicalValue(graph_, edge)];
    if (std::find(read.begin(), read.end(), s) == read.end()) continue;
    if (TellsFromInput(graph_, plan_->saved[s], need)) continue;
    const bool mask = plan_->saved[s].keep == Keep::MASK;
    std::vector<int>& slots = input ? step->inputs : (mask ? step->output_masks : step->outputs);
    slots[need.index] = saved_buffer_[s];
  }
}

// What the action reads of the pool, if it belongs to the same section.
void ProgramWriter::PrefetchFor(const Action& action) {
  const bool reads = action.kind == Kind::BACKWARD || action.kind == Kind::GATHER_BACKWARD;
  if (!reads || action.section != section_) return;
  for (int s : SavedReadBy(graph_, *plan_, action)) Prefetch(s);
}

void ProgramWriter::Prefetch(int s) {
  const SavedValue& saved = plan_->saved[s];
  if (fetched_[s] || prefetched_[s] >= 0) return;
  if (saved.keep == Keep::REBUILD) {
    std::vector<int> sources;
    ListSources(saved.value, &sources);
    for (int source : sources) Prefetch(source);
  }
  if (saved.keep == Keep::DERIVE) PrefetchDerived(saved.block_end);
  if (saved.keep != Keep::CODEC) return;
  PlanStep step;
  step.kind = Kind::PREFETCH;
  step.value = saved.value;
  step.saved = s;
  step.rest = IsHeld(s);
  step.buffer = prefetched_[s] = step.rest ? saved_buffer_[s] : TakeDecoded(s, " decoded");
  EmitFetch(step);
}

// What a derivation reads. What is kept after all is not foreseen.
void ProgramWriter::PrefetchDerived(int block_end) {
  const BlockEnd& end = plan_->block_ends[block_end];
  deriving_ = block_end;
  for (int value : {end.sum, end.shortcut}) {
    std::vector<int> sources;
    if (Available(value)) {
      sources = {saved_of_[value]};
    } else {
      ListSources(value, &sources);
    }
    for (int source : sources) Prefetch(source);
  }
  deriving_ = -1;
}

// Brings a saved value back unless it is at hand already.
void ProgramWriter::Fetch(int s) {
  const SavedValue& saved = plan_->saved[s];
  if (saved.keep == Keep::MASK) return;
  if (fetched_[s]) return MakeUnconditional(s);
  fetched_[s] = true;
  fetching_[s].first = Now();
  if (saved.keep == Keep::REBUILD) {
    saved_buffer_[s] = Rebuild(saved.value);
  } else if (saved.keep == Keep::DERIVE) {
    saved_buffer_[s] = Derive(s);
  } else {
    FetchKept(s);
  }
  fetching_[s].second = Now();
}

// What was brought back for a derivation alone is wanted by someone else, too.
void ProgramWriter::MakeUnconditional(int s) {
  const auto [begin, end] = fetching_[s];
  if (plan_->saved[s].keep == Keep::DERIVE || begin == end) return;
  if (deriving_ >= 0 && plan_->steps[begin].only_for == deriving_) return;
  for (int i = begin; i < end; ++i) plan_->steps[i].only_for = -1;
  if (plan_->saved[s].keep != Keep::REBUILD) return;
  std::vector<int> sources;
  ListSources(plan_->saved[s].value, &sources);
  for (int source : sources) MakeUnconditional(source);
}

// From a block's sum and shortcut, or out of the pool: the executor knows.
int ProgramWriter::Derive(int s) {
  const SavedValue& saved = plan_->saved[s];
  const BlockEnd& end = plan_->block_ends[saved.block_end];
  PlanStep step;
  deriving_ = saved.block_end;
  step.inputs = {RebuildInput(end.sum), RebuildInput(end.shortcut)};
  deriving_ = -1;
  step.kind = Kind::DERIVE;
  step.node = end.norm;
  step.value = saved.value;
  step.saved = s;
  step.release = section_ == last_section_[s] || DecodedOnce(s);
  step.buffer = TakeDecoded(s, " derived");
  for (int i : {0, 1}) step.states.push_back(state_buffer_.at({end.norm, i}));
  Emit(step);
  for (int input : step.inputs) Drop(input);
  for (int value : {end.sum, end.shortcut}) UseSaved(saved_of_[value]);
  return step.buffer;
}

void ProgramWriter::FetchKept(int s) {
  const SavedValue& saved = plan_->saved[s];
  PlanStep step;
  step.kind = saved.keep == Keep::IMAGE ? Kind::INPUT : Kind::FETCH;
  step.value = saved.value;
  step.saved = saved.keep == Keep::IMAGE ? -1 : s;
  step.release = section_ == last_section_[s] || DecodedOnce(s);
  step.rest = IsHeld(s);
  if (prefetched_[s] >= 0) {
    saved_buffer_[s] = std::exchange(prefetched_[s], -1);
  } else if (saved.keep != Keep::RAW && !step.rest) {
    saved_buffer_[s] = TakeDecoded(s, " decoded");
  }
  step.buffer = saved_buffer_[s];
  EmitFetch(step);
}

// Later sections count on the samples that are held, whether or not a derivation reads them now,
// and the executor forgets what a step that it skips would have given back: no FETCH of them is
// skipped.
void ProgramWriter::EmitFetch(PlanStep step) {
  Emit(step);
  if (HeldSamples(step.saved) > 0) plan_->steps.back().only_for = -1;
}

int ProgramWriter::TakeDecoded(int s, const std::string& suffix) {
  const int value = plan_->saved[s].value;
  const int64_t held = HeldSamples(s), slice = LargestSlice(s);
  if (held == 0) {
    const int buffer = TakeValue(value, WantedWhole(s), suffix);
    plan_->buffers[buffer].spares_time = DecodedOnce(s);
    return buffer;
  }
  ENCKE_CHECK(!WantedWhole(s) && held + slice <= plan_->batch, s, " ", held, " ", slice);
  PlannedBuffer buffer;
  buffer.sample_bytes = SampleBytes(value);
  buffer.held = held;
  buffer.bytes = (held + slice) * buffer.sample_bytes;
  buffer.spares_time = true;
  buffer.what = graph_.values[value].name + suffix;
  return Take(std::move(buffer));
}

// That are decoded by the first section for all that read the value; 0: none, or all.
int64_t ProgramWriter::HeldSamples(int s) const {
  const auto found = plan_->held_samples.find(s);
  return found == plan_->held_samples.end() || DecodedOnce(s) ? 0 : found->second;
}

// Whether an earlier section has brought them.
bool ProgramWriter::IsHeld(int s) const {
  return HeldSamples(s) > 0 && saved_buffer_[s] >= 0 && references_[saved_buffer_[s]] > 0;
}

// Samples, of the sections that have yet to read the value.
int64_t ProgramWriter::LargestSlice(int s) const {
  int64_t samples = 0;
  for (size_t section = section_; section < uses_.size(); ++section) {
    if (uses_[section][s] == 0) continue;
    samples = std::max(samples, schedule_.sections()[section].samples);
  }
  return samples;
}

// Whether a node of this section reads all slices of it together, or a later section reads it.
bool ProgramWriter::WantedWhole(int s) const {
  if (DecodedOnce(s)) return true;
  const std::vector<Action>& actions = schedule_.actions();
  return std::any_of(actions.begin(), actions.end(), [&](const Action& action) {
    if (action.kind != Kind::BACKWARD || action.section != section_) return false;
    if (!schedule_.DefersParameters(action.node)) return false;
    return SavedReadBy(graph_, *plan_, action.node).at(0) == s;
  });
}

// Computes a value again from what is saved; the buffer is the caller's.
int ProgramWriter::Rebuild(int value) {
  const int n = graph_.values[value].producer;
  const Node& node = graph_.nodes[n];
  std::vector<int> inputs;
  for (int edge : node.inputs) inputs.push_back(RebuildInput(CanonicalValue(graph_, edge)));
  const bool in_place = node.layer->ForwardInPlace(0) && Exclusive(inputs[0]);
  int output = inputs[0];
  if (in_place) {
    Hold(output);
  } else {
    output = TakeValue(value, false, " again");
  }
  RunAgain(n, inputs, output);
  for (size_t i = 0; i < inputs.size(); ++i) {
    Drop(inputs[i]);
    const int input = CanonicalValue(graph_, node.inputs[i]);
    if (Available(input)) UseSaved(saved_of_[input]);
  }
  return output;
}

// The caller holds the buffer.
int ProgramWriter::RebuildInput(int value) {
  if (Available(value)) {
    Fetch(saved_of_[value]);
    Hold(saved_buffer_[saved_of_[value]]);
    return saved_buffer_[saved_of_[value]];
  }
  if (value != 0) return Rebuild(value);
  PlanStep step;
  step.kind = Kind::INPUT;
  step.value = 0;
  step.buffer = TakeValue(0, false);
  Emit(step);
  return step.buffer;
}

void ProgramWriter::RunAgain(int n, std::vector<int> inputs, int output) {
  PlanStep step;
  step.kind = Kind::REBUILD;
  step.node = n;
  step.inputs = std::move(inputs);
  step.outputs = {output};
  const std::vector<StateSpec> specs = graph_.nodes[n].layer->States();
  for (size_t i = 0; i < specs.size(); ++i) {
    const bool given = specs[i].whole && !specs[i].scratch;
    step.states.push_back(given ? state_buffer_.at({n, static_cast<int>(i)}) : -1);
  }
  Emit(step);
}

// One use of a saved value less in this section. What keeps its place until the last section has
// read it, or is decoded once for all of them, if only in part, stays; other decoded tensors go.
void ProgramWriter::UseSaved(int s) {
  if (--uses_[section_][s] > 0) return;
  const Keep keep = plan_->saved[s].keep;
  const bool placed =
      keep == Keep::RAW || keep == Keep::MASK || DecodedOnce(s) || HeldSamples(s) > 0;
  const bool last = section_ == last_section_[s];
  if (!placed || last) Drop(saved_buffer_[s]);
  fetched_[s] = DecodedOnce(s) && !last;
}

// `last`: nobody reads them later.
void ProgramWriter::GiveStates(int n, bool last, PlanStep* step) {
  const std::vector<StateSpec> specs = graph_.nodes[n].layer->States();
  for (size_t i = 0; i < specs.size(); ++i) {
    const int index = static_cast<int>(i);
    int buffer = state_buffer_.at({n, index});
    const auto kept = state_of_.find({n, index});
    if (kept != state_of_.end() && plan_->states[kept->second].bits > 0) {
      PlanStep unpack;
      unpack.kind = Kind::UNPACK;
      unpack.saved = kept->second;
      unpack.other = buffer;
      unpack.buffer = buffer =
          TakeSamples(specs[i].shape.sample() * SizeOf(specs[i].dtype), false,
                      MemoryCategory::TRANSIENT, graph_.nodes[n].name + "." + specs[i].name);
      Emit(unpack);
      if (last) Drop(unpack.other);
    }
    step->states.push_back(buffer);
  }
}

// After a pass: in forward the scratch ones, in backward all.
void ProgramWriter::DropStates(int n, const PlanStep& step) {
  const std::vector<StateSpec> specs = graph_.nodes[n].layer->States();
  for (size_t i = 0; i < step.states.size(); ++i) {
    if (step.kind == Kind::BACKWARD || specs[i].scratch) Drop(step.states[i]);
  }
}

void ProgramWriter::DropUnpacked(int n, const PlanStep& step) {
  for (size_t i = 0; i < step.states.size(); ++i) {
    if (step.states[i] != state_buffer_.at({n, static_cast<int>(i)})) Drop(step.states[i]);
  }
}

// The buffer that will hold this node's contribution to the gradient of an input; -1 where nobody
// asks for it. Where the output's gradient `stays`, not in its place.
int ProgramWriter::InputGradient(int n, int input, bool stays) {
  const Node& node = graph_.nodes[n];
  const int value = CanonicalValue(graph_, node.inputs[input]);
  if (!needs_gradient_[value]) return -1;
  const GradientFlow flow = node.layer->Flow(input);
  const int incoming = gradient_[node.outputs[0]];
  // A contribution that is added to others at once need not exist for the whole batch.
  const bool whole = schedule_.WholeGradient(value) && gradient_[value] < 0;
  const bool share =
      flow == GradientFlow::IDENTITY || (flow == GradientFlow::IN_PLACE && input == 0 && !stays &&
                                         Exclusive(incoming) && Suits(incoming, whole));
  if (share) {
    Hold(incoming);
    return incoming;
  }
  return TakeValue(value, whole, " gradient");
}

// The first contribution becomes the gradient; later ones are added, in place where nobody else
// holds a side of the sum.
void ProgramWriter::AddGradient(int value, int buffer) {
  const int present = gradient_[value];
  if (present < 0) {
    gradient_[value] = buffer;
    return;
  }
  const bool whole = schedule_.WholeGradient(value);
  PlanStep step;
  step.kind = Kind::ADD_GRADIENTS;
  step.value = value;
  step.inputs = {present, buffer};
  if (Exclusive(present)) {
    step.buffer = present;
  } else if (Exclusive(buffer) && Suits(buffer, whole)) {
    step.buffer = buffer;
  } else {
    step.buffer = TakeValue(value, whole, " gradient");
  }
  Emit(step);
  if (step.buffer != present) Drop(present);
  if (step.buffer != buffer) Drop(buffer);
  gradient_[value] = step.buffer;
}

}  // namespace encke::internal
