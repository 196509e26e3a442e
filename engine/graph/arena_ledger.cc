#include "engine/graph/arena_ledger.h"

namespace encke {

ArenaLedger::ArenaLedger(const Plan* plan, MemoryLedger* ledger, MemoryTrace* trace)
    : plan_(plan),
      ledger_(ledger),
      trace_(trace),
      first_(plan->steps.size()),
      last_(plan->steps.size()),
      booked_(plan->buffers.size(), false) {
  for (size_t b = 0; b < plan->buffers.size(); ++b) {
    first_[plan->buffers[b].first].push_back(static_cast<int>(b));
    last_[plan->buffers[b].last].push_back(static_cast<int>(b));
  }
}

ArenaLedger::~ArenaLedger() {
  for (size_t b = 0; b < booked_.size(); ++b) Release(static_cast<int>(b));
}

void ArenaLedger::Begin(int step) {
  for (int buffer : first_[step]) {
    if (booked_[buffer]) continue;
    const PlannedBuffer& planned = plan_->buffers[buffer];
    ledger_->Move(MemoryCategory::UNUSED, planned.category, planned.bytes);
    booked_[buffer] = true;
  }
  Note(step);
}

void ArenaLedger::End(int step, bool last_slice) {
  Note(step);
  for (int buffer : last_[step]) {
    if (last_slice || !plan_->buffers[buffer].whole) Release(buffer);
  }
}

void ArenaLedger::Note(int step) {
  if (trace_ != nullptr) trace_->Note(step, ledger_->Current());
}

void ArenaLedger::Release(int buffer) {
  if (!booked_[buffer]) return;
  const PlannedBuffer& planned = plan_->buffers[buffer];
  ledger_->Move(planned.category, MemoryCategory::UNUSED, planned.bytes);
  booked_[buffer] = false;
}

}  // namespace encke
