// Writes the plan's program by going through one iteration with reference-counted buffers: a buffer
// is taken when a step first writes it and given back after the last step that reads it. What
// remains are lifetimes.
#include <algorithm>
#include <map>
#include <utility>

#include "engine/core/error.h"
#include "engine/graph/plan_internal.h"

namespace encke::internal {
namespace {

class ProgramWriter {
 public:
  ProgramWriter(const Graph& graph, Plan* plan);
  void Write();

 private:
  using Kind = PlanStep::Kind;

  // --- buffers
  int Take(int64_t bytes, MemoryCategory category, const std::string& what);
  void Hold(int buffer) { ++references_[buffer]; }
  void Drop(int buffer);
  bool Exclusive(int buffer) const { return references_[buffer] == 1; }
  int Emit(PlanStep step);  // the step's index
  int64_t ValueBytes(int value) const;

  // --- forward
  void ForwardInput();
  void ForwardNode(int n);
  void MakeOutputs(int n, PlanStep* step);
  void MakeStates(int n, PlanStep* step);
  void KeepStates(int n);
  void FinishUse(int value);
  void Store(int saved);

  // --- backward
  void BackwardNode(int n);
  bool WantsBackward(int n) const;
  void FetchFor(int n, PlanStep* step);
  void Fetch(int saved);
  void ReleaseFetched(int n);
  void GiveStates(int n, PlanStep* step);
  int InputGradient(int n, int input);
  void AddGradient(int value, int buffer);
  std::vector<int> SavedOf(int n) const;

  const Graph& graph_;
  Plan* plan_;
  const int logits_;
  std::vector<int> references_;     // of each buffer
  std::vector<int> value_buffer_;   // where a value is now, -1: nowhere
  std::vector<int> forward_uses_;   // left, of a canonical value
  std::vector<int> backward_uses_;  // left, of a saved value
  std::vector<int> saved_of_;       // of a value, -1: not saved
  std::vector<int> saved_buffer_;   // what backward reads of a saved value, -1: not at hand
  std::vector<bool> fetched_;       // by saved value
  std::map<std::pair<int, int>, int> state_buffer_;  // (node, index)
  std::map<std::pair<int, int>, int> state_of_;      // (node, index) -> plan->states
  std::vector<int> gradient_;                        // of a canonical value, -1: none yet
  std::vector<bool> needs_gradient_;
};

ProgramWriter::ProgramWriter(const Graph& graph, Plan* plan)
    : graph_(graph),
      plan_(plan),
      logits_(CanonicalValue(graph, graph.logits)),
      value_buffer_(graph.values.size(), -1),
      forward_uses_(graph.values.size(), 0),
      backward_uses_(plan->saved.size(), 0),
      saved_of_(graph.values.size(), -1),
      saved_buffer_(plan->saved.size(), -1),
      fetched_(plan->saved.size(), false),
      gradient_(graph.values.size(), -1),
      needs_gradient_(graph.values.size(), false) {
  for (size_t s = 0; s < plan->saved.size(); ++s)
    saved_of_[plan->saved[s].value] = static_cast<int>(s);
  for (size_t s = 0; s < plan->states.size(); ++s) {
    state_of_[{plan->states[s].node, plan->states[s].index}] = static_cast<int>(s);
  }
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    const Node& node = graph.nodes[n];
    bool gradient = !node.parameters.empty();
    for (int value : node.inputs) {
      if (!node.layer->IsView()) ++forward_uses_[CanonicalValue(graph, value)];
      gradient = gradient || needs_gradient_[CanonicalValue(graph, value)];
    }
    for (int value : node.outputs) needs_gradient_[value] = gradient;
    for (int s : SavedOf(static_cast<int>(n))) ++backward_uses_[s];
  }
}

int ProgramWriter::Take(int64_t bytes, MemoryCategory category, const std::string& what) {
  const int step = static_cast<int>(plan_->steps.size());
  plan_->buffers.push_back({bytes, 0, step, step, category, what});
  references_.push_back(1);
  return static_cast<int>(plan_->buffers.size()) - 1;
}

// The step written last is the last that uses the buffer.
void ProgramWriter::Drop(int buffer) {
  ENCKE_CHECK(references_[buffer] > 0, buffer);
  if (--references_[buffer] == 0) {
    PlannedBuffer& planned = plan_->buffers[buffer];
    planned.last = std::max(planned.first, static_cast<int>(plan_->steps.size()) - 1);
  }
}

int ProgramWriter::Emit(PlanStep step) {
  plan_->steps.push_back(std::move(step));
  return static_cast<int>(plan_->steps.size()) - 1;
}

int64_t ProgramWriter::ValueBytes(int value) const {
  const int producer = graph_.values[value].producer;
  const bool loss = producer >= 0 && graph_.nodes[producer].layer->IsLoss();
  return graph_.values[value].shape.elements() * SizeOf(loss ? DType::F32 : plan_->options.compute);
}

void ProgramWriter::Write() {
  ForwardInput();
  const int nodes = static_cast<int>(graph_.nodes.size());
  for (int n = 0; n < nodes; ++n) {
    if (!graph_.nodes[n].layer->IsView()) ForwardNode(n);
  }
  if (plan_->options.training) {
    for (int n = nodes - 1; n >= 0; --n) BackwardNode(n);
  }
  plan_->logits_buffer = value_buffer_[logits_];
  plan_->loss_buffer = value_buffer_[graph_.nodes.back().outputs[0]];
  // What is read after the program (loss, logits) lives to its end.
  for (size_t b = 0; b < references_.size(); ++b) {
    if (references_[b] > 0) plan_->buffers[b].last = static_cast<int>(plan_->steps.size()) - 1;
  }
}

// ------------------------------------------------------------------------------------------------------------
// forward

void ProgramWriter::ForwardInput() {
  PlanStep step;
  step.kind = Kind::INPUT;
  step.value = 0;
  step.buffer = value_buffer_[0] = Take(ValueBytes(0), MemoryCategory::TRANSIENT, "input");
  Emit(step);
}

void ProgramWriter::ForwardNode(int n) {
  const Node& node = graph_.nodes[n];
  PlanStep step;
  step.kind = Kind::FORWARD;
  step.node = n;
  for (int value : node.inputs) step.inputs.push_back(value_buffer_[CanonicalValue(graph_, value)]);
  MakeOutputs(n, &step);
  MakeStates(n, &step);
  Emit(step);
  KeepStates(n);
  for (int value : node.inputs) FinishUse(CanonicalValue(graph_, value));
}

// In place when this is the last use of input 0 and backward does not read it, but for what is made
// again anyway.
void ProgramWriter::MakeOutputs(int n, PlanStep* step) {
  const Node& node = graph_.nodes[n];
  const int input = CanonicalValue(graph_, node.inputs[0]);
  const int saved = saved_of_[input];
  const bool kept = saved >= 0 && plan_->saved[saved].keep != Keep::IMAGE;
  const bool in_place = node.layer->ForwardInPlace() && forward_uses_[input] == 1 && !kept &&
                        input != logits_ && Exclusive(value_buffer_[input]);
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    const int value = node.outputs[i];
    if (i == 0 && in_place) {
      value_buffer_[value] = value_buffer_[input];
      Hold(value_buffer_[value]);
    } else {
      value_buffer_[value] =
          Take(ValueBytes(value), MemoryCategory::TRANSIENT, graph_.values[value].name);
    }
    step->outputs.push_back(value_buffer_[value]);
  }
}

void ProgramWriter::MakeStates(int n, PlanStep* step) {
  if (!plan_->options.training) return;
  const std::vector<StateSpec> specs = graph_.nodes[n].layer->States();
  for (size_t i = 0; i < specs.size(); ++i) {
    const int index = static_cast<int>(i);
    const SavedState& state = plan_->states[state_of_.at({n, index})];
    const bool packed = state.bits > 0;
    const int buffer =
        Take(state.raw_bytes, packed ? MemoryCategory::TRANSIENT : MemoryCategory::SAVED,
             graph_.nodes[n].name + "." + specs[i].name);
    state_buffer_[{n, index}] = buffer;
    step->states.push_back(buffer);
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
    step.buffer =
        Take(state.predicted_bytes, MemoryCategory::SAVED, graph_.nodes[n].name + " index");
    Emit(step);
    Drop(step.other);
    state_buffer_[{n, state.index}] = step.buffer;
  }
}

// One forward use of the value less; after the last one it is kept for backward, as planned, and
// its memory given back.
void ProgramWriter::FinishUse(int value) {
  if (--forward_uses_[value] > 0) return;
  const int saved = saved_of_[value];
  if (saved >= 0) Store(saved);
  const bool evaluated = value == logits_;  // read after the program
  if (!evaluated) Drop(value_buffer_[value]);
}

void ProgramWriter::Store(int s) {
  const SavedValue& saved = plan_->saved[s];
  PlanStep step;
  step.value = saved.value;
  step.saved = s;
  step.buffer = value_buffer_[saved.value];
  if (saved.keep == Keep::MASK) {
    step.kind = Kind::STORE_MASK;
    step.other = step.buffer;
    step.buffer = Take(saved.predicted_bytes, MemoryCategory::SAVED,
                       graph_.values[saved.value].name + " mask");
    saved_buffer_[s] = step.buffer;
  } else if (saved.keep == Keep::IMAGE) {
    return;
  } else {
    step.kind = Kind::STORE;
    if (saved.norm_consumer >= 0) step.states = {state_buffer_.at({saved.norm_consumer, 1})};
    if (saved.keep == Keep::RAW) {
      saved_buffer_[s] = step.buffer;
      plan_->buffers[step.buffer].category = MemoryCategory::SAVED;
      Hold(step.buffer);
    }
  }
  Emit(step);
}

// -----------------------------------------------------------------------------------------------------------
// backward

bool ProgramWriter::WantsBackward(int n) const {
  const Node& node = graph_.nodes[n];
  return needs_gradient_[CanonicalValue(graph_, node.outputs[0])] && !node.layer->IsView();
}

void ProgramWriter::BackwardNode(int n) {
  const Node& node = graph_.nodes[n];
  if (!WantsBackward(n)) return;
  PlanStep step;
  step.kind = Kind::BACKWARD;
  step.node = n;
  FetchFor(n, &step);
  GiveStates(n, &step);
  const bool loss = node.layer->IsLoss();
  const int output = node.outputs[0];
  step.output_gradients.assign(node.outputs.size(), -1);
  if (!loss) {
    ENCKE_CHECK(gradient_[output] >= 0, node.name);
    step.output_gradients[0] = gradient_[output];
  }
  std::vector<int> made;
  bool computes = !node.parameters.empty();
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    made.push_back(InputGradient(n, static_cast<int>(i)));
    const bool computed = node.layer->Flow(static_cast<int>(i)) != GradientFlow::IDENTITY;
    step.input_gradients.push_back(computed ? made.back() : -1);
    computes = computes || (computed && made.back() >= 0);
  }
  if (computes) Emit(step);
  if (!loss) {
    Drop(gradient_[output]);
    gradient_[output] = -1;
  }
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    if (made[i] >= 0) AddGradient(CanonicalValue(graph_, node.inputs[i]), made[i]);
  }
  for (size_t i = 0; i < step.states.size(); ++i) Drop(step.states[i]);
  ReleaseFetched(n);
}

std::vector<int> ProgramWriter::SavedOf(int n) const {
  const Node& node = graph_.nodes[n];
  std::vector<int> saved;
  for (const SavedNeed& need : node.layer->SavedNeeds()) {
    const int edge =
        need.of == SavedNeed::Of::INPUT ? node.inputs[need.index] : node.outputs[need.index];
    const int s = saved_of_[CanonicalValue(graph_, edge)];
    if (s >= 0 && std::find(saved.begin(), saved.end(), s) == saved.end()) saved.push_back(s);
  }
  return saved;
}

void ProgramWriter::FetchFor(int n, PlanStep* step) {
  const Node& node = graph_.nodes[n];
  for (int s : SavedOf(n)) Fetch(s);
  step->inputs.assign(node.inputs.size(), -1);
  step->outputs.assign(node.outputs.size(), -1);
  step->output_masks.assign(node.outputs.size(), -1);
  for (const SavedNeed& need : node.layer->SavedNeeds()) {
    const bool input = need.of == SavedNeed::Of::INPUT;
    const int edge = input ? node.inputs[need.index] : node.outputs[need.index];
    const int s = saved_of_[CanonicalValue(graph_, edge)];
    const bool mask = plan_->saved[s].keep == Keep::MASK;
    std::vector<int>& slots = input ? step->inputs : (mask ? step->output_masks : step->outputs);
    slots[need.index] = saved_buffer_[s];
  }
}

// Brings a saved value back unless it is at hand already.
void ProgramWriter::Fetch(int s) {
  const SavedValue& saved = plan_->saved[s];
  if (fetched_[s] || saved.keep == Keep::MASK) return;
  fetched_[s] = true;
  PlanStep step;
  step.kind = saved.keep == Keep::IMAGE ? Kind::INPUT : Kind::FETCH;
  step.value = saved.value;
  step.saved = saved.keep == Keep::IMAGE ? -1 : s;
  if (saved.keep == Keep::RAW) {
    step.buffer = saved_buffer_[s];
    Emit(step);
    return;
  }
  step.buffer = Take(ValueBytes(saved.value), MemoryCategory::TRANSIENT,
                     graph_.values[saved.value].name + " decoded");
  saved_buffer_[s] = step.buffer;
  Emit(step);
}

void ProgramWriter::ReleaseFetched(int n) {
  for (int s : SavedOf(n)) {
    if (--backward_uses_[s] == 0) Drop(saved_buffer_[s]);
  }
}

void ProgramWriter::GiveStates(int n, PlanStep* step) {
  const std::vector<StateSpec> specs = graph_.nodes[n].layer->States();
  for (size_t i = 0; i < specs.size(); ++i) {
    const int index = static_cast<int>(i);
    const int s = state_of_.at({n, index});
    int buffer = state_buffer_.at({n, index});
    if (plan_->states[s].bits > 0) {
      PlanStep unpack;
      unpack.kind = Kind::UNPACK;
      unpack.saved = s;
      unpack.other = buffer;
      unpack.buffer = buffer = Take(plan_->states[s].raw_bytes, MemoryCategory::TRANSIENT,
                                    graph_.nodes[n].name + "." + specs[i].name);
      Emit(unpack);
      Drop(unpack.other);
    }
    step->states.push_back(buffer);
  }
}

// The buffer that will hold this node's contribution to the gradient of an input; -1 where nobody
// asks for it.
int ProgramWriter::InputGradient(int n, int input) {
  const Node& node = graph_.nodes[n];
  const int value = CanonicalValue(graph_, node.inputs[input]);
  if (!needs_gradient_[value]) return -1;
  const GradientFlow flow = node.layer->Flow(input);
  const int incoming = gradient_[node.outputs[0]];
  const bool share = flow == GradientFlow::IDENTITY ||
                     (flow == GradientFlow::IN_PLACE && input == 0 && Exclusive(incoming));
  if (share) {
    Hold(incoming);
    return incoming;
  }
  return Take(ValueBytes(value), MemoryCategory::TRANSIENT,
              graph_.values[value].name + " gradient");
}

// The first contribution becomes the gradient; later ones are added, in place where nobody else
// holds a side of the sum.
void ProgramWriter::AddGradient(int value, int buffer) {
  const int present = gradient_[value];
  if (present < 0) {
    gradient_[value] = buffer;
    return;
  }
  PlanStep step;
  step.kind = Kind::ADD_GRADIENTS;
  step.value = value;
  step.inputs = {present, buffer};
  if (Exclusive(present)) {
    step.buffer = present;
  } else if (Exclusive(buffer)) {
    step.buffer = buffer;
  } else {
    step.buffer =
        Take(ValueBytes(value), MemoryCategory::TRANSIENT, graph_.values[value].name + " gradient");
  }
  Emit(step);
  if (step.buffer != present) Drop(present);
  if (step.buffer != buffer) Drop(buffer);
  gradient_[value] = step.buffer;
}

}  // namespace

void WriteProgram(const Graph& graph, Plan* plan) { ProgramWriter(graph, plan).Write(); }

}  // namespace encke::internal
