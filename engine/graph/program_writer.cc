// Buffers and sections.
#include "engine/graph/program_writer.h"

#include <algorithm>

#include "engine/core/error.h"

namespace encke::internal {

ProgramWriter::ProgramWriter(const Graph& graph, Plan* plan)
    : graph_(graph),
      plan_(plan),
      schedule_(graph, *plan),
      logits_(CanonicalValue(graph, graph.logits)),
      value_buffer_(graph.values.size(), -1),
      forward_uses_(graph.values.size(), 0),
      saved_of_(graph.values.size(), -1),
      saved_buffer_(plan->saved.size(), -1),
      fetched_(plan->saved.size(), false),
      fetching_(plan->saved.size()),
      prefetched_(plan->saved.size(), -1),
      last_section_(plan->saved.size(), -1),
      gradient_(graph.values.size(), -1),
      needs_gradient_(NeedsGradient(graph)) {
  for (size_t s = 0; s < plan->saved.size(); ++s)
    saved_of_[plan->saved[s].value] = static_cast<int>(s);
  for (size_t s = 0; s < plan->states.size(); ++s) {
    state_of_[{plan->states[s].node, plan->states[s].index}] = static_cast<int>(s);
  }
  for (const Action& action : schedule_.actions()) {
    const bool reads = action.kind == Kind::FORWARD || action.kind == Kind::GATHER_FORWARD ||
                       action.kind == Kind::REBUILD;
    if (!reads) continue;
    for (int edge : graph.nodes[action.node].inputs) {
      const int value = CanonicalValue(graph, edge);
      ++forward_uses_[value];
      if (schedule_.MadeAgain(value)) ++section_uses_[{action.section, value}];
    }
  }
  CountUses();
}

int ProgramWriter::Take(PlannedBuffer buffer) {
  buffer.first = buffer.last =
      SpansSlices(buffer) && Sliced() ? plan_->sections.back().first : Now();
  plan_->buffers.push_back(std::move(buffer));
  references_.push_back(1);
  return static_cast<int>(plan_->buffers.size()) - 1;
}

int ProgramWriter::TakeSamples(int64_t sample_bytes, bool whole, MemoryCategory category,
                               const std::string& what) {
  PlannedBuffer buffer;
  buffer.sample_bytes = sample_bytes;
  buffer.whole = whole;
  buffer.bytes = sample_bytes * (whole ? plan_->batch : plan_->sections.back().samples);
  buffer.category = category;
  buffer.what = what;
  return Take(std::move(buffer));
}

int ProgramWriter::TakeValue(int value, bool whole, const std::string& suffix) {
  return TakeSamples(SampleBytes(value), whole, MemoryCategory::TRANSIENT,
                     graph_.values[value].name + suffix);
}

// The step written last is the last that uses the buffer; one that spans slices all of them use.
void ProgramWriter::Drop(int buffer) {
  ENCKE_CHECK(references_[buffer] > 0, buffer);
  if (--references_[buffer] > 0) return;
  PlannedBuffer& planned = plan_->buffers[buffer];
  planned.last = std::max(planned.first, Now() - 1);
  if (SpansSlices(planned) && Sliced()) dying_.push_back(buffer);
}

int64_t ProgramWriter::SampleBytes(int value) const {
  const int producer = graph_.values[value].producer;
  const bool loss = producer >= 0 && graph_.nodes[producer].layer->IsLoss();
  return graph_.values[value].shape.sample() * SizeOf(loss ? DType::F32 : plan_->options.compute);
}

void ProgramWriter::Open(int section) {
  Close();
  section_ = section;
  const Schedule::Section& cut = schedule_.sections()[section];
  plan_->sections.push_back({Now(), Now(), cut.samples, cut.reversed});
}

void ProgramWriter::Close() {
  if (section_ < 0) return;
  DropLingering();
  PlanSection& section = plan_->sections.back();
  section.end = Now();
  ENCKE_CHECK(section.first < section.end, section_);
  for (int buffer : dying_) plan_->buffers[buffer].last = Now() - 1;
  dying_.clear();
}

void ProgramWriter::Write() {
  Open(0);
  ForwardInput();
  const std::vector<Action>& actions = schedule_.actions();
  for (size_t a = 0; a < actions.size(); ++a) {
    if (actions[a].section != section_) Open(actions[a].section);
    next_ = a + 1 < actions.size() ? &actions[a + 1] : nullptr;
    Write(actions[a]);
  }
  Close();
  plan_->logits_buffer = value_buffer_[logits_];
  plan_->loss_buffer = value_buffer_[graph_.nodes.back().outputs[0]];
  // What is read after the program (loss, logits) lives to its end.
  for (size_t b = 0; b < references_.size(); ++b) {
    if (references_[b] > 0) plan_->buffers[b].last = Now() - 1;
  }
}

void ProgramWriter::Write(const Action& action) {
  switch (action.kind) {
    case Kind::FORWARD:
    case Kind::GATHER_FORWARD:
    case Kind::FINISH_FORWARD:
      Forward(action);
      plan_->backward_begin = Now();
      return;
    case Kind::INPUT:
    case Kind::REBUILD:
      return ForwardAgain(action);
    default:
      return Backward(action);
  }
}

void WriteProgram(const Graph& graph, Plan* plan) { ProgramWriter(graph, plan).Write(); }

}  // namespace encke::internal
