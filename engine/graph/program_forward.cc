// The forward pass: where outputs go, when a value is stored.
#include <utility>

#include "engine/core/error.h"
#include "engine/graph/program_writer.h"

namespace encke::internal {

void ProgramWriter::ForwardInput() {
  PlanStep step;
  step.kind = Kind::INPUT;
  step.value = 0;
  step.buffer = value_buffer_[0] = TakeValue(0, schedule_.WholeValue(0));
  Emit(step);
}

void ProgramWriter::Forward(const Action& action) {
  const int n = action.node;
  const Node& node = graph_.nodes[n];
  PlanStep step;
  step.kind = action.kind;
  step.node = n;
  MakeStates(action);
  step.states = ForwardStates(action);
  if (action.kind == Kind::FINISH_FORWARD) {
    Emit(step);
    return DropStates(n, step);
  }
  for (int value : node.inputs) step.inputs.push_back(value_buffer_[CanonicalValue(graph_, value)]);
  int in_place = -1;
  if (action.kind == Kind::FORWARD) {
    in_place = InPlaceInput(n);
    if (in_place >= 0) Store(CanonicalValue(graph_, node.inputs[in_place]));
    MakeOutputs(n, in_place, &step);
  }
  Emit(step);
  DropLingering();
  if (action.kind == Kind::FORWARD) KeepStates(n);
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    FinishUse(CanonicalValue(graph_, node.inputs[i]), static_cast<int>(i) == in_place);
  }
}

// Makes slices of a value once more that were not kept since they were first made.
void ProgramWriter::ForwardAgain(const Action& action) {
  if (action.kind == Kind::INPUT) return ForwardInput();
  const Node& node = graph_.nodes[action.node];
  const int value = node.outputs[0];
  std::vector<int> inputs;
  for (int edge : node.inputs) inputs.push_back(value_buffer_[CanonicalValue(graph_, edge)]);
  value_buffer_[value] = TakeValue(value, false, " again");
  RunAgain(action.node, inputs, value_buffer_[value]);
  for (int edge : node.inputs) FinishUse(CanonicalValue(graph_, edge), false);
}

// The input in whose place output 0 can come, -1: none. One of the whole batch is alive until the
// section's end in any case, and suits whatever comes next.
int ProgramWriter::InPlaceInput(int n) const {
  const std::vector<int>& inputs = graph_.nodes[n].inputs;
  int found = -1;
  for (int i = 0; i < static_cast<int>(inputs.size()); ++i) {
    if (!CanWorkInPlace(n, i)) continue;
    const bool whole = plan_->buffers[value_buffer_[CanonicalValue(graph_, inputs[i])]].whole;
    if (found < 0 || whole) found = i;
    if (whole) break;
  }
  return found;
}

// When this is the last use of the input: if backward needs it, it can be stored before the node
// overwrites it, unless the tensor itself is kept.
bool ProgramWriter::CanWorkInPlace(int n, int i) const {
  const Node& node = graph_.nodes[n];
  const int input = CanonicalValue(graph_, node.inputs[i]);
  const int saved = saved_of_[input], buffer = value_buffer_[input];
  const bool kept = saved >= 0 && (plan_->saved[saved].keep == Keep::RAW || Lingers(input));
  return node.layer->ForwardInPlace(i) && forward_uses_[input] == 1 && !kept && input != logits_ &&
         Exclusive(buffer) && Suits(buffer, schedule_.WholeValue(node.outputs[0]));
}

void ProgramWriter::MakeOutputs(int n, int in_place, PlanStep* step) {
  const Node& node = graph_.nodes[n];
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    const int value = node.outputs[i];
    if (i == 0 && in_place >= 0) {
      value_buffer_[value] = step->inputs[in_place];
      Hold(value_buffer_[value]);
    } else {
      value_buffer_[value] = TakeValue(value, schedule_.WholeValue(value));
    }
    step->outputs.push_back(value_buffer_[value]);
  }
}

// Before the node is first touched.
void ProgramWriter::MakeStates(const Action& action) {
  if (!plan_->options.training || action.kind == Kind::FINISH_FORWARD) return;
  const Layer& layer = *graph_.nodes[action.node].layer;
  if (layer.Gathers() && action.kind == Kind::FORWARD) return;  // were made for GATHER_FORWARD
  const std::vector<StateSpec> specs = layer.States();
  for (size_t i = 0; i < specs.size(); ++i) {
    TakeState(action.node, static_cast<int>(i), specs[i]);
  }
}

// What was gathered is gone when the node itself runs.
std::vector<int> ProgramWriter::ForwardStates(const Action& action) const {
  std::vector<int> buffers;
  if (!plan_->options.training) return buffers;
  const Layer& layer = *graph_.nodes[action.node].layer;
  const bool gathered = layer.Gathers() && action.kind == Kind::FORWARD;
  const std::vector<StateSpec> specs = layer.States();
  for (size_t i = 0; i < specs.size(); ++i) {
    const int index = static_cast<int>(i);
    buffers.push_back(gathered && specs[i].scratch ? -1 : state_buffer_.at({action.node, index}));
  }
  return buffers;
}

void ProgramWriter::TakeState(int n, int index, const StateSpec& spec) {
  const std::string what = graph_.nodes[n].name + "." + spec.name;
  const bool packed = !spec.scratch && plan_->states[state_of_.at({n, index})].bits > 0;
  const MemoryCategory category =
      packed || spec.scratch ? MemoryCategory::TRANSIENT : MemoryCategory::SAVED;
  if (spec.whole) {
    PlannedBuffer buffer;
    buffer.bytes = spec.shape.elements() * SizeOf(spec.dtype);
    buffer.whole = true;
    buffer.category = category;
    buffer.what = what;
    state_buffer_[{n, index}] = Take(std::move(buffer));
  } else {
    state_buffer_[{n, index}] = TakeSamples(spec.shape.sample() * SizeOf(spec.dtype),
                                            !packed && schedule_.WholeStates(n), category, what);
  }
}

void ProgramWriter::KeepStates(int n) {
  for (size_t s = 0; s < plan_->states.size(); ++s) {
    const SavedState& state = plan_->states[s];
    if (state.node != n || state.bits == 0) continue;
    PlanStep step;
    step.kind = Kind::PACK;
    step.saved = static_cast<int>(s);
    step.other = state_buffer_.at({n, state.index});
    step.buffer = TakeSamples(state.predicted_bytes / plan_->batch, schedule_.WholeStates(n),
                              MemoryCategory::SAVED, graph_.nodes[n].name + " index");
    Emit(step);
    Drop(step.other);
    state_buffer_[{n, state.index}] = step.buffer;
  }
}

// One forward use of the value less; after the last one it is kept for backward, as planned,
// unless that has been done, and its memory given back. What a later section makes again gives it
// back before, what lingers later.
void ProgramWriter::FinishUse(int value, bool stored) {
  const bool last = --forward_uses_[value] == 0;
  const bool last_here = schedule_.MadeAgain(value) && --section_uses_.at({section_, value}) == 0;
  if (last && !stored) Store(value);
  const bool evaluated = value == logits_;  // read after the program
  if (evaluated || !(last || last_here)) return;
  if (last && Lingers(value)) return lingering_.push_back(value_buffer_[value]);
  Drop(value_buffer_[value]);
}

bool ProgramWriter::Lingers(int value) const {
  return saved_of_[value] >= 0 && plan_->lingering.count(saved_of_[value]) > 0;
}

// At the latest where the section ends.
void ProgramWriter::DropLingering() {
  for (int buffer : std::exchange(lingering_, {})) Drop(buffer);
}

void ProgramWriter::Store(int value) {
  const int s = saved_of_[value];
  if (s < 0 || plan_->saved[s].keep == Keep::IMAGE) return;
  const SavedValue& saved = plan_->saved[s];
  PlanStep step;
  step.kind = Kind::STORE;
  step.value = value;
  step.saved = s;
  step.buffer = value_buffer_[value];
  if (saved.keep == Keep::MASK) return StoreMask(saved, step);
  if (saved.keep == Keep::RAW) {
    ENCKE_CHECK(plan_->buffers[step.buffer].whole || last_section_[s] <= section_, value);
    saved_buffer_[s] = step.buffer;
    plan_->buffers[step.buffer].category = MemoryCategory::SAVED;
    Hold(step.buffer);
  }
  Emit(step);
}

void ProgramWriter::StoreMask(const SavedValue& saved, PlanStep step) {
  step.kind = Kind::STORE_MASK;
  step.other = step.buffer;
  const bool whole = last_section_[step.saved] > section_;
  step.buffer = TakeSamples(saved.predicted_bytes / plan_->batch, whole, MemoryCategory::SAVED,
                            graph_.values[saved.value].name + " mask");
  saved_buffer_[step.saved] = step.buffer;
  Emit(step);
}

}  // namespace encke::internal
